"""The names of MLflow tags are stored in people's MLflow, so they never change."""

from __future__ import annotations

from mlflow.utils.mlflow_tags import MLFLOW_GIT_COMMIT

from perennial.registry import mlflow_tags


def test_the_stored_tag_names_never_change() -> None:
    names = {name: value for name, value in vars(mlflow_tags).items() if name.isupper()}
    assert names.pop("GIT_COMMIT") == MLFLOW_GIT_COMMIT
    assert names.pop("BY_REFIT") == "#refit"
    # Spelled out here and nowhere else.
    spelled = "made_by use_case owner algorithm window end holdout_start training_set training_set_path snapshots"
    spelled += " requests lock_digest code_changes champion_then gate gate_borderline gate_failed gate_reason"
    spelled += " weight refit_of search study trial refit"
    spelled += " threshold"
    spelled += " verdict reason explanation model_card"
    assert names == {name.upper(): f"perennial.{name}" for name in spelled.split()}
