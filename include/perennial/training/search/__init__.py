"""Searches for parameters of the estimator, on folds inside the rows to fit on.

- `searching`: one search from its folds to the plan with the parameters that it found;
- `folds`: the parts of time that each set of parameters is tried on;
- `comparison`: by how much a set is better than the run's own, paired over blocks of time;
- `trying`: fits with a set of parameters on each fold;
- `study`: which set is tried next, and the record of those before, in PostgreSQL (Optuna);
- `choosing`: which set to fit with, and why;
- `trial_runs`: each trial as an MLflow run below the training run;
- `outcome`: what a search found, as the plan records it.
"""
