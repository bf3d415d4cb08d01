"""Puts a dossier together: every file of it, from records alone."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version as version_of
from typing import Any

from perennial.dossier import archive, documents, history, index, lineage, manifest, sources
from perennial.dossier.documents import Training
from perennial.dossier.history import History
from perennial.dossier.manifest import as_bytes
from perennial.dossier.records import Records
from perennial.errors import PerennialError
from perennial.registry import ledger, mlflow_artifacts
from perennial.services import secrets
from perennial.use_case import UseCase

#: The decision's whole evidence.
GATE = "decisions/gate.json"
SBOM = "environment/sbom.cdx.json"


@dataclass(frozen=True)
class Dossier:
    """A dossier that is not written yet.

    Attributes:
        files: Name -> content, with the manifest.
        digest: Of the whole.
        newest_record: Processing time of the newest record in it; None: it holds none with a time.
    """

    use_case: str
    version: int
    as_of: datetime | None
    files: dict[str, bytes]
    digest: str
    newest_record: datetime | None
    not_recorded: tuple[manifest.NotRecorded, ...]

    @property
    def content(self) -> bytes:
        """The bytes of the file."""
        return archive.pack(self.files)


def gather(use_case: UseCase, version: int, as_of: datetime | None = None, *, until: datetime | None = None) -> Dossier:
    """Read all that is recorded of a version.

    Args:
        use_case: Whose model.
        version: The registered version.
        as_of: What was known then, processing time, UTC; None: all records.
        until: Leave out what was recorded later, without being a dossier of that time: to compare with an older one.

    Raises:
        ServiceUnavailable: MLflow or the lake does not answer.
        UnknownVersion: there is no such version, or there was none at that time.
        PerennialError: a record holds a secret of this installation.
    """
    records = Records(use_case, as_of, until)
    training = documents.read(records, version)
    evaluated = _evaluated(records, training)
    past = history.gather(records, training)
    lives = {name: as_bytes(value) for name, value in past.documents().items()}
    files = _training_files(records, training, "training") | lives | _data_files(records, training)
    if evaluated is not None:
        files |= _training_files(records, evaluated, f"evaluated/v{evaluated.version}")
    gate = _gate(records, training, past)
    if gate:
        files[GATE] = as_bytes(gate)
    files |= documents.later_files(records, training)
    facts = index.Facts(use_case.name, version, records, training, evaluated, past, gate)
    return _complete(facts, files)


def _evaluated(records: Records, training: Training) -> Training | None:
    """Of a refit, the training of the version that was evaluated in its place."""
    number = training.document(mlflow_artifacts.PLAN).get("refit_of")
    return documents.read(records, number) if number is not None else None


def _training_files(records: Records, training: Training, folder: str) -> dict[str, bytes]:
    files = {f"{folder}/{name}": content for name, content in training.files.items()}
    if training.made:
        files[f"{folder}/run.json"] = as_bytes(training.made)
    if training.digests:
        written = {
            "model": training.model,
            "recorded_by": training.origin,
            "recorded_at": training.written,
            "sha256": training.digests,
        }
        files[f"{folder}/files.json"] = as_bytes(written)
    if training.described is not None:
        files[f"{folder}/MLmodel"] = training.described
    return files


def _data_files(records: Records, training: Training) -> dict[str, bytes]:
    """Data, source files and packages of the training."""
    files = {f"data/{name}.json": as_bytes(rows) for name, rows in lineage.gather(records, training).items()}
    made = training.document(mlflow_artifacts.PROVENANCE)
    if made:
        diff = training.files.get(mlflow_artifacts.CODE_DIFF)
        found = sources.recover(records, made.get("files", {}), made.get("commit", ""), diff)
        files |= {f"sources/{name}": content for name, content in found.items()}
        from perennial.dossier import bill_of_materials

        files[SBOM] = bill_of_materials.render(records.use_case.name, training, made.get("environment", {}))
    return files


def _gate(records: Records, training: Training, past: History) -> dict[str, Any]:
    """The gate's decision on the version: by the ledger, else what the gate logged while nothing is decided."""
    if past.decided is not None:
        return past.decided.evidence
    begun = [entry for entry in past.entries if entry.action == ledger.ROLLOUT and "decision" in entry.evidence]
    if begun:
        return dict(begun[-1].evidence["decision"])
    if records.as_of is not None:
        records.miss(
            "what the gate measured", "no record says when it did, and the ledger has no decision at that time"
        )
        return {}
    return documents.gate_document(training)


def _complete(facts: index.Facts, files: dict[str, bytes]) -> Dossier:
    """With index and manifest, and without logins."""
    records = facts.records
    redacted = {name: _without_logins(content) for name, content in files.items()}
    changed = sorted(name for name in files if redacted[name] != files[name])
    written = redacted | {archive.INDEX: _without_logins(index.render(facts, redacted, changed))}
    about = {
        "use_case": facts.use_case,
        "version": facts.version,
        "as_of": records.as_of,
        "newest_record": records.newest,
        "written_by": f"perennial {version_of('perennial')}",
        "not_recorded": [each._asdict() for each in records.not_recorded],
        "logins_removed_from": changed,
    }
    listed = manifest.make(about, written)
    _check_secrets(facts, written)
    return Dossier(
        use_case=facts.use_case,
        version=facts.version,
        as_of=records.as_of,
        files=written | {archive.MANIFEST: listed},
        digest=manifest.digest_in(listed),
        newest_record=records.newest,
        not_recorded=tuple(records.not_recorded),
    )


#: A login in an address, in text or JSON.
_LOGIN = re.compile(rb"(?<=://)[^/@\s\"'<>]*@")


def _without_logins(content: bytes) -> bytes:
    """A text without the logins of addresses; what is no text is as it was."""
    try:
        content.decode()
    except UnicodeDecodeError:
        return content
    return _LOGIN.sub(b"***@", content)


def _check_secrets(facts: index.Facts, files: Mapping[str, bytes]) -> None:
    """Refuse a dossier that would give away a password or key of this installation."""
    for secret in secrets.of_installation():
        written = {secret, json.dumps(secret, ensure_ascii=False)[1:-1], json.dumps(secret)[1:-1], html.escape(secret)}
        for name, content in files.items():
            if any(each.encode() in content for each in written):
                raise PerennialError(
                    f"The dossier of version {facts.version} of {facts.use_case!r} was not written: {name} would hold a"
                    " password or key of this installation.",
                    "Change that password or key, then write the dossier again.",
                )
