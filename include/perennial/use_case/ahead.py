"""How examples that are known before their moment are predicted before it."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from pydantic import Field, field_validator

from perennial.use_case.declarations import Declaration

if TYPE_CHECKING:
    from perennial.use_case.definition import UseCase


class Ahead(Declaration):
    """How examples that are known before their moment are predicted before it: the flights of tomorrow, for instance.

    Each is predicted by the present champion, from the features known when that happens. The model was trained to
    predict at the examples' own moment: the shorter the last lead, the nearer are its predictions to what the gate
    measured.
    """

    leads: tuple[timedelta, ...] = Field(
        min_length=1,
        description="How long before its moment an example is predicted: once for each. The last prediction counts.",
    )
    known: timedelta = Field(
        gt=timedelta(0),
        description="How far ahead of now raw rows are known: partitions that begin until then are read.",
    )
    every: str = Field(default="0 * * * *", description="When to look for examples to predict: a cron expression, UTC.")

    @field_validator("leads")
    @classmethod
    def _is_decreasing(cls, value: tuple[timedelta, ...]) -> tuple[timedelta, ...]:
        if min(value) <= timedelta(0) or sorted(set(value), reverse=True) != list(value):
            raise ValueError("leads are positive and differ, the longest first")
        return value

    @field_validator("every")
    @classmethod
    def _is_cron(cls, value: str) -> str:
        if len(value.split()) != 5:
            raise ValueError(f"{value!r} is no cron expression of five fields")
        return value

    def lead_due(self, remaining: timedelta) -> timedelta | None:
        """The lead that has come for an example; None: none has yet.

        Args:
            remaining: How long it is until the example's moment.
        """
        return next((lead for lead in reversed(self.leads) if remaining <= lead), None)


def check(use_case: UseCase) -> None:
    """Check that a use case which predicts ahead says what is known then.

    Raises:
        ValueError: an input of its examples does not say which of its columns are known ahead, or says so wrongly.
    """
    declared = use_case.examples.ahead
    for name in use_case.examples.inputs if declared else ():
        table = use_case.raw_table(name)
        needed = {*table.key, *([table.time] if table.time else [])}
        if missing := sorted(needed - set(table.known_ahead)):
            raise ValueError(
                f"examples.ahead: known_ahead of raw table {name!r} does not name {', '.join(missing)}; it names the"
                " columns whose values are known before their outcome, the key and the time among them"
            )
    if declared and declared.known < declared.leads[0]:
        raise ValueError(
            f"examples.ahead: rows are known {declared.known} ahead, less than the lead {declared.leads[0]}"
        )
