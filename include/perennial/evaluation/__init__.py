"""Evaluation of predictions: metrics, intervals, slices and plots that gate, monitoring and model card all use.

- `metrics`: scikit-learn's metrics by name; `baseline`: the model that needs no training;
- `blocks`, `bootstrap`: confidence intervals from resampled blocks of event time; `slices`: rows by a column's value;
- `quality`: all of that for one model on its holdout; `plots`: the plots of it.
"""
