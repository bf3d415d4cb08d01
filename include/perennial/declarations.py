"""The base of every declaration of a use case: a frozen, strict Pydantic model, and its errors in one line."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, ValidationError


def problems(error: ValidationError) -> str:
    """What is wrong with which value, in one line."""
    found = [(".".join(map(str, each["loc"])), each["msg"].removeprefix("Value error, ")) for each in error.errors()]
    return "; ".join(f"{where}: {said}" if where else said for where, said in found)


class Declaration(BaseModel):
    """Frozen, and strict about unknown fields: a typo in a use case is an error, not a silence."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)
