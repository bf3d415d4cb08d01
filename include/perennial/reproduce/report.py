"""The result of a reproduction, as data and as a table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table

#: What makes a reproduction equal; the other parts explain why it is not.
DECIDING = ("data", "stored file", "predictions")


@dataclass(frozen=True)
class Part:
    """One thing that was compared.

    Attributes:
        name: `data`, `stored file`, `predictions`, `code` or `environment`.
        equal: None: it could not be compared.
        findings: Of the comparison, in sentences.
    """

    name: str
    equal: bool | None
    findings: tuple[str, ...]


@dataclass(frozen=True)
class Reproduction:
    """A version, made again.

    Attributes:
        checkout: The commit that it was made again by; empty: by the code as it is here.
        advice: What to do next; empty if there is nothing.
    """

    use_case: str
    version: int
    parts: tuple[Part, ...]
    advice: str = ""
    checkout: str = ""

    @property
    def equal(self) -> bool:
        """Whether the same rows came out, and a model that predicts the same, to the bit."""
        return all(part.equal for part in self.parts if part.name in DECIDING)

    def as_json(self) -> dict[str, Any]:
        """JSON-ready, as the command prints it."""
        parts = [{"name": part.name, "equal": part.equal, "said": part.findings} for part in self.parts]
        return {"equal": self.equal, **asdict(self), "parts": parts}

    @classmethod
    def from_json(cls, printed: Mapping[str, Any]) -> Reproduction:
        """Read what the command printed."""
        parts = tuple(Part(part["name"], part["equal"], tuple(part["said"])) for part in printed["parts"])
        return cls(printed["use_case"], printed["version"], parts, printed["advice"], printed["checkout"])


def table(reproduction: Reproduction) -> Table:
    """A row for each part."""
    from rich.table import Table
    from rich.text import Text

    where = f", in a checkout of {reproduction.checkout[:12]}" if reproduction.checkout else ""
    verdict = "equal" if reproduction.equal else "differs"
    # As text: what was recorded may hold what rich would take for markup.
    title = f"{reproduction.use_case} v{reproduction.version}{where}: {verdict}"
    shown = Table(title=Text(title), title_justify="left")
    for heading in ("", "", "found"):
        shown.add_column(heading)
    styles = {True: ("equal", "green"), False: ("differs", "red"), None: ("not compared", "yellow")}
    for part in reproduction.parts:
        word, style = styles[part.equal]
        style = style if part.name in DECIDING or part.equal else "yellow"
        shown.add_row(part.name, Text(word, style=style), Text("\n".join(part.findings)))
    return shown
