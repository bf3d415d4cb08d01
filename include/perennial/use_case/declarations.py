"""The base of every declaration of a use case: a frozen, strict Pydantic model, and its errors in one line."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, ValidationError


def problems(error: ValidationError) -> str:
    """Each invalid value with its field and what is wrong with it, in one line."""
    messages = [(".".join(map(str, each["loc"])), each["msg"].removeprefix("Value error, ")) for each in error.errors()]
    return "; ".join(f"{field}: {message}" if field else message for field, message in messages)


class Declaration(BaseModel):
    """Frozen, and strict about unknown fields: a typo in a use case is an error instead of being ignored."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)
