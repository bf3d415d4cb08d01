"""Writes the page of a dossier that a person reads first: plain English, self-contained, no scripts, all escaped."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from pydantic import ValidationError

from perennial.dossier import sources
from perennial.dossier.archive import MANIFEST
from perennial.dossier.documents import Training
from perennial.dossier.history import History
from perennial.dossier.records import Records
from perennial.evaluation.quality import Quality
from perennial.gate.decision import GateDecision, from_evidence, in_words
from perennial.registry import mlflow_artifacts

#: Beginning of a file's name -> what it holds, in the order in which they are listed.
FILES = {
    "decisions/gate.json": "the gate's decision, with every rule and every number it rests on",
    "decisions/ledger.json": "every entry of the ledger about this version: who decided what, when, and why",
    "decisions/deployments.json": "when it served, and which partitions of event time it predicts",
    "decisions/requests.json": "the requests for retraining that it was trained for",
    "production/metrics.json": "its performance in production, partition by partition",
    "production/verdicts.json": "the monitor's verdicts on the partitions that it scored, with their evidence",
    "production/drift.json": "how far each column was from its training data",
    "production/backtests.json": "what other policies would have reached on the same partitions",
    "incidents/": "the incidents that were opened while it served, or about a partition that it scored",
    "data/tables.json": "the lake tables and snapshots that the training read, with the rows of each partition",
    "data/batches.json": "the raw batches of the training window",
    "data/computations.json": "the fingerprint of the transform that computed each table of each partition",
    "data/validations.json": "what was checked of each table of the window, and the results",
    "training/": "what the training run wrote down, as it wrote it",
    "evaluated/": "the same of the version that was evaluated in place of this one, its refit",
    "sources/": "the use case's own files as they were at training",
    "environment/": "the packages of the training: a software bill of materials (CycloneDX)",
    "model_card/": "the model card, as it is attached to the version",
    "plots/": "plots of the training",
}
_LARGEST_PLOT = 1_000_000


@dataclass(frozen=True)
class Facts:
    """What the page tells of.

    Attributes:
        use_case: Its name.
        evaluated: Of a refit, the training of the version that was evaluated in its place; None: it is none.
        gate: The gate's decision, as recorded; empty: there is none.
    """

    use_case: str
    version: int
    records: Records
    training: Training
    evaluated: Training | None
    past: History
    gate: Mapping[str, Any]

    @property
    def quality(self) -> Quality | None:
        """Metrics on the holdout; of a refit, those of the version that was evaluated. None: not recorded."""
        recorded = (self.evaluated or self.training).document(mlflow_artifacts.QUALITY)
        try:
            return Quality(**recorded) if recorded else None
        except (ValidationError, TypeError):  # Written by another release.
            return None


def render(facts: Facts, files: Mapping[str, bytes], logins_removed_from: Sequence[str]) -> bytes:
    """The page.

    Args:
        facts: What it tells.
        files: All other files but the manifest: name -> content.
        logins_removed_from: Those that are not as recorded, because an address in them had a login.
    """
    training = facts.training
    declaration = next((name for name in files if name.endswith(f"use_cases/{facts.use_case}/use_case.py")), "")
    shown = {
        "facts": facts,
        "declared": dict.fromkeys(sources.SHOWN, "") | sources.declared(files.get(declaration)),
        "declaration": declaration,
        "run": training.made,
        "tags": training.made.get("tags", {}),
        "plan": training.document(mlflow_artifacts.PLAN),
        "data": training.document(mlflow_artifacts.TRAINING_SET),
        "made": training.document(mlflow_artifacts.PROVENANCE),
        "changes": training.document(mlflow_artifacts.CODE_CHANGES),
        "quality": facts.quality,
        "decision": _decision(facts.gate),
        "verdicts": facts.past.newest_verdicts,
        "plots": [_plot(name, files[name]) for name in sorted(files) if name.endswith(".png")],
        "files": _described(files),
        "all_files": {*files, MANIFEST},
        "incidents": facts.past.incidents,
        "not_recorded": facts.records.not_recorded,
        "logins_removed_from": logins_removed_from,
    }
    return _template().render(shown).encode()


def _decision(gate: Mapping[str, Any]) -> GateDecision | None:
    """As data, where this code knows its form."""
    return from_evidence(dict(gate)) if gate else None


def _described(files: Mapping[str, bytes]) -> list[dict[str, Any]]:
    """Each kind of file with what it holds."""
    kinds = {kind: sorted(name for name in files if name.startswith(kind)) for kind in FILES}
    return [{"names": names, "holds": FILES[kind]} for kind, names in kinds.items() if names]


def _plot(name: str, content: bytes) -> dict[str, str]:
    inside = base64.b64encode(content).decode() if len(content) <= _LARGEST_PLOT else ""
    return {"name": name, "address": f"data:image/png;base64,{inside}" if inside else ""}


def _number(value: Any) -> str:
    match value:
        case None:
            return "not recorded"
        case bool():
            return "yes" if value else "no"
        case int():
            return f"{value:,}"
        case float():
            return f"{value:,.4g}"
    return str(value)


def _moment(value: Any) -> str:
    """A time, UTC, to the second."""
    if value is None:
        return "not recorded"
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else value
        return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
    except (ValueError, AttributeError, OverflowError):
        return str(value)


@cache
def _template() -> Template:
    environment = Environment(
        loader=PackageLoader("perennial.dossier", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"number": _number, "moment": _moment, "outcome": in_words}
    return environment.get_template("index.html.j2")
