"""Training: plan a run, build its training set, fit the estimator and register it as the challenger."""
