"""What a change to features would do, and doing it: `perennial plan` and `perennial apply`.

- `reading`: the definitions that the Feast registry holds and those in `feature_repo/`, as `sides` of a change;
- `differences`: what has changed between them, and which of it destroys something;
- `unexplained`: which files differ beside that;
- `acknowledgements`: what the change itself says that it destroys on purpose;
- `dependents`: which use cases and model versions use what changes;
- `transforms`: the columns that a transform would write now; `recomputing`: which partitions were computed by other
  code than it is now;
- `planning`: all of that, as data; `rendering`: for people;
- `applying`, `backfill`: registering the definitions, and computing those partitions again through Airflow.

Feast is imported by whoever reads a side, MLflow by whoever asks what a model was fitted on.
"""
