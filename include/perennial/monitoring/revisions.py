"""Revises verdicts whose labels matured late or were corrected, and requests retraining for alarms that this raises."""

from __future__ import annotations

from typing import Any

from perennial import lake
from perennial.lake import labels
from perennial.lake.labels import KnownLabels
from perennial.monitoring import monitor
from perennial.monitoring.verdict import ALARM, Verdict, VerdictEvidence
from perennial.partitions import Partition
from perennial.registry import ledger, retraining_requests
from perennial.use_case import UseCase


def revisit_and_request(use_case: UseCase, partition: Partition, made_by: str) -> Verdict | None:
    """Monitor earlier partitions again whose labels changed, and request retraining for an alarm that this raised.

    Args:
        use_case: Whose partitions.
        partition: The one just monitored; earlier ones are revisited.
        made_by: The DAG run that asks. The same run gets the same answer again.

    Returns:
        The verdict whose request is to be published; None if no revised verdict asks for retraining.
    """
    revisit(use_case, partition)
    verdict = revised_alarm(use_case, partition)
    if verdict is None or not monitor.request_retraining(use_case, partition, verdict, made_by):
        return None
    return verdict


def revisit(use_case: UseCase, partition: Partition) -> list[Verdict]:
    """Monitor again the earlier partitions whose labels differ from those of their last verdict, oldest first.

    Looks at `drift.revisits` partitions; where nothing changed it reads no more than their keys and labels.

    Args:
        use_case: Whose partitions.
        partition: The one just monitored.
    """
    earlier = partition.preceding(use_case.drift.revisits, use_case.first)
    latest = {key: rows[-1] for key, rows in _verdict_rows(use_case, earlier).items()}
    now = labels.count_known(use_case, latest)
    changed = {key for key, row in latest.items() if _labels_changed(row, now[key])}
    return [monitor.monitor(use_case, each) for each in earlier if each.key in changed]


def _labels_changed(row: dict[str, Any], now: KnownLabels) -> bool:
    """Whether the labels differ from those that a recorded verdict rests on."""
    digest = row.get("labels_digest")
    if digest is None:  # A record from before the digest was kept.
        return now.count > (row["labels"] or 0)
    return bool(now.digest != digest)


def revised_alarm(use_case: UseCase, partition: Partition) -> Verdict | None:
    """The newest verdict on an earlier partition that later labels made an alarm whose retraining is not requested yet.

    It counts while the version that it is about serves, and until retraining was requested: for it, or since then for a
    later partition, which is the same retraining. That is read from the records, so that a run that was killed in
    between requests it all the same.

    Args:
        use_case: Whose partitions.
        partition: Only earlier ones are considered.
    """
    serving = ledger.champion(use_case)
    if serving is None:
        return None
    requests = retraining_requests.load_all(use_case)
    earlier = partition.preceding(use_case.drift.revisits, use_case.first)
    for rows in reversed(_verdict_rows(use_case, earlier, serving.model_version).values()):
        first, last = rows[0], rows[-1]
        is_revised = (first["verdict"], first["reason"]) != (last["verdict"], last["reason"])
        is_alarm = last["verdict"] == ALARM and last["reason"]
        if is_revised and is_alarm and not any(_covers(request, last) for request in requests):
            return _verdict(last)
    return None


def _verdict_rows(
    use_case: UseCase, partitions: list[Partition], version: int | None = None
) -> dict[str, list[dict[str, Any]]]:
    """The recorded verdicts about a version, or about any, by partition; both oldest first."""
    if not partitions:
        return {}
    rows = lake.records(use_case.tables.verdicts, between=(partitions[0].key, partitions[-1].key))
    by_partition: dict[str, list[dict[str, Any]]] = {}
    for row in sorted(rows, key=lambda row: (row["partition"], row["recorded_at"])):
        if row["model_version"] is not None and version in (None, row["model_version"]):
            by_partition.setdefault(row["partition"], []).append(row)
    return by_partition


def _covers(request: dict[str, Any], verdict: dict[str, Any]) -> bool:
    """Whether a request for retraining was made for a verdict, or later for a later partition."""
    requested_for = VerdictEvidence.from_json(request["evidence"]).partition
    if verdict["partition"] in (request["partition"], requested_for):
        return True
    return bool(request["partition"] > verdict["partition"] and request["recorded_at"] >= verdict["recorded_at"])


def _verdict(row: dict[str, Any]) -> Verdict:
    return Verdict(
        verdict=row["verdict"],
        reason=row["reason"],
        evidence=VerdictEvidence.from_json(row["evidence"]),
        report=row["report"],
        explanation=row["explanation"] or "",
    )
