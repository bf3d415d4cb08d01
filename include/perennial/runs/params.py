"""The parameters of a run of `features`, as Airflow's trigger form shows them."""

from __future__ import annotations

from pydantic import Field

from perennial.use_case import Declaration


class FeaturesParams(Declaration):
    """Parameters of a run of `<use case>.features`."""

    refetch: bool = Field(
        default=True,
        description="Fetch the raw batches again. Off: compute from the raw rows in the lake; they are fetched only if"
        " the lake lacks a raw table of the partition.",
    )
