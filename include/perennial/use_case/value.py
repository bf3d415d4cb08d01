"""What a decision is worth, in money: the declaration by which the metric `value` and the decision threshold come."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from perennial.use_case.declarations import Declaration

#: The module of a use case that holds the function, if it declares one.
MODULE = "value"
#: Columns that stand beside `columns` wherever rows are judged.
_GIVEN, _OWN = {"label", "decision", "prediction"}, {"label_timestamp", "challenger", "champion", "other"}


class Value(Declaration):
    """What a decision is worth, in money. Gains are positive and costs negative; both count from doing nothing.

    Of a binary use case a decision follows from the probability: act from `threshold` on. What each of the four
    outcomes is worth is a constant, or what `function` returns of each row. Of a regression only a function can tell.
    """

    true_positive: float | None = Field(
        default=None, allow_inf_nan=False, description="Acting on an example whose label is 1."
    )
    false_positive: float | None = Field(
        default=None, allow_inf_nan=False, description="Acting on an example whose label is 0; costs are negative."
    )
    true_negative: float = Field(
        default=0.0, allow_inf_nan=False, description="Not acting on an example whose label is 0."
    )
    false_negative: float = Field(
        default=0.0, allow_inf_nan=False, description="Not acting on an example whose label is 1; costs are negative."
    )
    per_prediction: float = Field(
        default=0.0,
        allow_inf_nan=False,
        description="Added for each prediction of a model, whatever is decided: what it costs to predict is negative."
        " The baseline model is free.",
    )
    function: str | None = Field(
        default=None,
        description="A function in the use case's module `value`, beside `model.py`, instead of the four constants. It"
        " takes a `pandas.DataFrame` with `label`, `decision` (of a regression `prediction`) and `columns`, and returns"
        " what each row is worth.",
    )
    columns: tuple[str, ...] = Field(
        default=(), description="Features, or columns of the examples, that `function` needs, such as an amount."
    )
    threshold: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="Act from this probability on. None: each model acts from the threshold on that is worth most on"
        " its own holdout.",
    )
    currency: str = Field(default="", description="Shown behind amounts, such as `EUR`.")

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        constants = {"true_positive", "false_positive", "true_negative", "false_negative"}
        if taken := _GIVEN & {*self.columns}:
            raise ValueError(f"columns: {min(taken)!r} is what the function is given anyway; leave it out")
        if taken := _OWN & {*self.columns}:
            raise ValueError(f"columns: {min(taken)!r} is a column that evaluations have themselves; name another one")
        if self.function is not None:
            if given := sorted(constants & self.model_fields_set):
                raise ValueError(f"function {self.function!r} says what a decision is worth: leave out {given[0]}")
            return self
        if self.columns:
            raise ValueError("columns are for a function: declare one, or leave them out")
        if self.true_positive is None or self.false_positive is None:
            raise ValueError("declare true_positive and false_positive, or a function")
        if self.true_positive <= self.false_negative:
            raise ValueError(
                f"true_positive {self.true_positive:g} is not above false_negative {self.false_negative:g}: then"
                " nobody should ever act. What costs money is negative"
            )
        if self.false_positive >= self.true_negative:
            raise ValueError(
                f"false_positive {self.false_positive:g} is not below true_negative {self.true_negative:g}: then"
                " everybody should always act. What costs money is negative"
            )
        return self


def written(amount: float, currency: str, *, signed: bool = False) -> str:
    """An amount as people write it: `12,340 EUR`, small ones with cents.

    Args:
        amount: The amount.
        currency: As `Value` declares it.
        signed: Whether a plus is shown, as of a difference.
    """
    places = 0 if abs(amount) >= 100 or amount == int(amount) else 2
    return f"{amount:{'+' if signed else ''},.{places}f} {currency}".rstrip()


def check(value: Value, task: str) -> None:
    """Refuse what does not fit the task.

    Args:
        value: The declaration.
        task: The use case's.

    Raises:
        ValueError: a regression has constants or a threshold.
    """
    if task == "regression" and value.function is None:
        raise ValueError("of a regression nothing is decided: value needs a function of label and prediction")
    if task == "regression" and value.threshold is not None:
        raise ValueError("of a regression nothing is decided: leave out value.threshold")
