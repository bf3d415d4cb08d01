"""Verdicts revised by labels that came late or were corrected, and the alarms that they become."""

from __future__ import annotations

import json
from typing import Any

from perennial import lake
from perennial.lake import labels
from perennial.lake.labels import Known
from perennial.monitoring import monitor
from perennial.monitoring.verdicts import ALARM, Verdict
from perennial.partitions import Partition
from perennial.registry import ledger, retraining_requests
from perennial.use_case import UseCase


def revisit_and_request(use_case: UseCase, partition: Partition, made_by: str) -> Verdict | None:
    """Judge earlier partitions again whose labels changed, and request retraining for an alarm that this raised.

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
    """Judge again the partitions before this one whose labels are others than at their last verdict, oldest first.

    Looks at `drift.revisits` partitions; where nothing changed it reads no more than their keys and labels.
    """
    earlier = partition.preceding(use_case.drift.revisits, use_case.first)
    judged = {key: rows[-1] for key, rows in _verdicts(use_case, earlier).items()}
    now = labels.counted(use_case, judged)
    changed = {key for key, verdict in judged.items() if _has_others(verdict, now[key])}
    return [monitor.monitor(use_case, each) for each in earlier if each.key in changed]


def _has_others(verdict: dict[str, Any], now: Known) -> bool:
    """Whether the labels are others than those that a recorded verdict rests on."""
    digest = verdict.get("labels_digest")
    if digest is None:  # of a record from before it was kept
        return now.count > (verdict["labels"] or 0)
    return bool(now.digest != digest)


def revised_alarm(use_case: UseCase, partition: Partition) -> Verdict | None:
    """The newest verdict on an earlier partition that later labels made an alarm, if it is still to be asked for.

    It counts while the version that it is about serves, and until retraining was asked for: for it, or since then for a
    later partition, which is the same retraining. That is read from the records, so that a run that was killed in
    between asks all the same.
    """
    serving = ledger.champion(use_case)
    if serving is None:
        return None
    asked = retraining_requests.made(use_case)
    held = _verdicts(use_case, partition.preceding(use_case.drift.revisits, use_case.first), serving.model_version)
    for rows in reversed(held.values()):
        first, last = rows[0], rows[-1]
        is_new = (first["verdict"], first["reason"]) != (last["verdict"], last["reason"])
        is_alarm = last["verdict"] == ALARM and last["reason"]
        if is_new and is_alarm and not any(_answers(request, last) for request in asked):
            return _verdict(last)
    return None


def _verdicts(
    use_case: UseCase, partitions: list[Partition], version: int | None = None
) -> dict[str, list[dict[str, Any]]]:
    """The recorded verdicts about a version, or about any, by partition: both oldest first."""
    if not partitions:
        return {}
    rows = lake.records(use_case.tables.verdicts, between=(partitions[0].key, partitions[-1].key))
    found: dict[str, list[dict[str, Any]]] = {}
    for row in sorted(rows, key=lambda row: (row["partition"], row["recorded_at"])):
        about = row["model_version"]
        if about is not None and version in (None, about):
            found.setdefault(row["partition"], []).append(row)
    return found


def _answers(request: dict[str, Any], verdict: dict[str, Any]) -> bool:
    """Whether a request for retraining is for a verdict, or will do for it."""
    if verdict["partition"] in (request["partition"], _judged(request)):
        return True
    return bool(request["partition"] > verdict["partition"] and request["recorded_at"] >= verdict["recorded_at"])


def _judged(request: dict[str, Any]) -> str | None:
    """The partition whose verdict a request was made for."""
    return json.loads(request["evidence"]).get("partition")


def _verdict(row: dict[str, Any]) -> Verdict:
    return Verdict(
        verdict=row["verdict"],
        reason=row["reason"],
        evidence=json.loads(row["evidence"]),
        report=row["report"],
        explanation=row["explanation"] or "",
    )
