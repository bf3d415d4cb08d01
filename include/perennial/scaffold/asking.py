"""Whom to ask about what is unclear: somebody at a terminal, or nobody."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from perennial.errors import InvalidParams


class Ask(Protocol):
    """Asks which of some choices is meant, and gives one of them."""

    def __call__(self, question: str, choices: Sequence[str], option: str) -> str:
        """The choice.

        Args:
            question: What is unclear, a sentence.
            choices: The answers.
            option: What answers it on the command line.

        Raises:
            InvalidParams: nobody is there to ask.
        """


def nobody(question: str, choices: Sequence[str], option: str) -> str:
    """Asks nobody: what is unclear has to be said."""
    offered = ", ".join(choices[:12]) + (", ..." if len(choices) > 12 else "")
    raise InvalidParams(question, f"Give {option}; to choose from: {offered}.")
