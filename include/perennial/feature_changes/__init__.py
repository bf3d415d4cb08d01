"""Plans and applies changes to features: `perennial plan` and `perennial apply`.

- `reading`: the definitions in the Feast registry and in `feature_repo/`, as `definitions` in one plain form, which
  `feast_messages` converts Feast's own to;
- `differences`: what has changed between them, and which changes destroy something; `unexplained_files`: which files
  differ besides; `acknowledgements`: which destructive changes are intended;
- `dependents`: the use cases and model versions that use what changes;
- `transform_schemas`: the columns that a transform would write now; `recomputing`: the partitions that must be computed
  or published again;
- `planning`: all of that, as a plan; `rendering`: shows it;
- `applying`, `backfill`: registering the definitions, and computing those partitions again through Airflow.

Feast is imported by whoever reads definitions, MLflow by whoever asks what a model was fitted on.
"""
