"""What is remembered of models: MLflow's runs and registry, the ledger of decisions, and where a model came from.

- `tracking`: MLflow's runs and registered versions; `mlflow_tags`, `mlflow_artifacts`: the names of what it stores;
- `ledger`: every promotion, rejection and rollback; `deployments`: which version served when, read from it;
- `retraining_requests`: who asked for retraining, and whether a model has been decided on since;
- `provenance`, `uncommitted_changes`: the code and environment that made a result.
"""
