"""How good predictions are: the measures that the gate, the monitors and the model card all use.

- `metrics`: scikit-learn's metrics by name; `baseline`: what a model that knows nothing reaches;
- `blocks`, `bootstrap`: intervals from resampled blocks of event time; `slices`: parts of the data by a column;
- `quality`: all of that for one model on its holdout; `plots`: the plots of it.
"""
