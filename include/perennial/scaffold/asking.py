"""How open questions are put to a person: the `Ask` protocol, and `nobody` where there is no terminal."""

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
    """Ask nobody: an open question is an error that names the option to give.

    Args:
        question: What is unclear, a sentence.
        choices: The possible answers; the first 12 are shown.
        option: What answers the question on the command line.

    Raises:
        InvalidParams: always.
    """
    offered = ", ".join(choices[:12]) + (", ..." if len(choices) > 12 else "")
    raise InvalidParams(question, f"Give {option}; to choose from: {offered}.")
