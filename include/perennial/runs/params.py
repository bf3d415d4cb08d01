"""The parameters of a run of `features`. Light to import."""

from __future__ import annotations

from pydantic import Field

from perennial.use_case import Declaration


class FeaturesParams(Declaration):
    """What a run of `<use case>.features` may be asked for; all appear in Airflow's trigger form."""

    refetch: bool = Field(
        default=True,
        description="Fetch the raw batches again. Off: compute from the raw rows that the lake holds; they are fetched"
        " only if it lacks a raw table of the partition.",
    )
