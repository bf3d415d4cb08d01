"""The parameters of a run of each pipeline, as Airflow's trigger form shows them."""

from __future__ import annotations

from pydantic import BaseModel, Field

from perennial.dag_names import AHEAD, CHAMPION, FEATURES, REFRESH, ROLLOUT, TRAINING
from perennial.use_case import UseCase
from perennial.use_case.declarations import Declaration


class FeaturesParams(Declaration):
    """Parameters of a run of `<use case>.features`."""

    refetch: bool = Field(
        default=True,
        description="Fetch the raw batches again. Off: compute from the raw rows in the lake; they are fetched only if"
        " the lake lacks a raw table of the partition.",
    )
    sources: dict[str, str] = Field(
        default={},
        description="Variables that name places of sources, such as FLIGHTS_DATA, as whoever started the run has them."
        " Empty: as Airflow's workers have them.",
    )


class RefreshParams(Declaration):
    """Parameters of a run of `<use case>.refresh`."""

    until: str | None = Field(
        default=None,
        description="Refresh as if it were this moment, for instance 2013-03-05T10:00Z. Empty: when the run was due.",
    )
    sources: dict[str, str] = Field(
        default={},
        description="Variables that name places of sources, as whoever started the run has them. Empty: as Airflow's"
        " workers have them.",
    )


def optional_pipelines(use_case: UseCase) -> tuple[str, ...]:
    """The pipelines that a person may start and that not every use case has; they run on no partition.

    Args:
        use_case: Whose.
    """
    refresh = (REFRESH,) if use_case.refresh else ()
    return (*refresh, AHEAD) if use_case.examples.ahead else refresh


def params_model(use_case: UseCase, pipeline: str) -> type[BaseModel] | None:
    """The parameters that a run takes.

    Args:
        use_case: Its estimator's parameters are among those of `training`.
        pipeline: The pipeline to run.

    Returns:
        The model of the parameters; None if the pipeline takes none.
    """
    if pipeline == TRAINING:
        return use_case.params
    if pipeline == FEATURES:
        return FeaturesParams
    if pipeline == REFRESH:
        return RefreshParams
    if pipeline == CHAMPION:
        from perennial.gate.rollback_plan import RollbackRequest

        return RollbackRequest
    if pipeline == ROLLOUT:
        from perennial.gate.rollout_request import RolloutRequest

        return RolloutRequest
    return None
