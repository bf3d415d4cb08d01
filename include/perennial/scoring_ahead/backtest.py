"""What predicting earlier would have cost: a past partition predicted again, from what was known so long before."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from perennial import lake
from perennial.dag_names import FEATURES, dag_id
from perennial.errors import BadFeatures, UnknownVersion
from perennial.evaluation import metrics, money, thresholds
from perennial.feature_store import repository
from perennial.lake import labels
from perennial.partitions import Partition
from perennial.registry import ledger, model_loading
from perennial.scoring_ahead.predicting import view_features
from perennial.use_case import UseCase


@dataclass(frozen=True)
class LeadResult:
    """The predictions of a partition's labelled examples, made so long before their moment.

    Attributes:
        lead: How long before; zero: at their moment, as training and batch scoring see them.
        metrics: Metric by name.
        not_known: The share of features of which nothing was known, or nothing that is not older than its `ttl`.
    """

    lead: timedelta
    metrics: dict[str, float]
    not_known: float


@dataclass(frozen=True)
class Backtest:
    """A partition predicted at each lead, on the same examples.

    Attributes:
        version: The version that was champion when the partition began.
        examples: How many have a label.
        leads: The longest lead last.
    """

    partition: str
    version: int
    examples: int
    leads: tuple[LeadResult, ...]

    def as_json(self) -> dict[str, Any]:
        """The result in JSON's own types; leads in seconds."""
        leads = [asdict(each) | {"lead": each.lead.total_seconds()} for each in self.leads]
        return asdict(self) | {"leads": leads}


def backtest(use_case: UseCase, partition: Partition, leads: Collection[timedelta]) -> Backtest:
    """Predict a past partition's examples from the features known so long before their moment; nothing is written.

    Of the examples themselves it takes what the lake has, so it is right only where that is known so early.

    Args:
        use_case: The use case.
        partition: A partition whose features are computed, and whose labels are known.
        leads: How long before; their moment itself is added.

    Raises:
        BadFeatures: the partition's examples were never computed, or none has a label yet.
        UnknownVersion: no version was champion when the partition began.
        ServiceUnavailable: MLflow does not answer.
    """
    champion = ledger.champion_at(use_case, partition.start)
    if champion is None:
        raise UnknownVersion(
            f"Use case {use_case.name!r} had no champion at the start of partition {partition.key!r}.",
            "Choose a later one: `perennial status` shows which were scored.",
        )
    examples = _labelled(use_case, partition)
    truth, label = labels.encoded(use_case, examples["label"]), examples["label"].to_numpy()
    asked = examples.drop_columns(["label", "label_timestamp"])
    predict = model_loading.load(use_case, champion.model_version)
    threshold = thresholds.recorded(use_case, ledger.entries(use_case), champion.model_version)
    results = []
    for lead in sorted({timedelta(0), *leads}):
        rows = repository.historical_features(use_case.feature_service, _earlier(asked, lead))
        frame = rows.to_pandas()
        predicted = predict(frame)
        worth = money.of_rows(use_case, frame.assign(label=label), predicted, threshold)
        measured = metrics.evaluate(use_case, truth, predicted, worth)
        results.append(LeadResult(lead, measured, _not_known(use_case, rows)))
    return Backtest(partition.key, champion.model_version, examples.num_rows, tuple(results))


def _labelled(use_case: UseCase, partition: Partition) -> pa.Table:
    examples = lake.read(use_case.tables.examples, partitions=[partition.key])
    known = examples.filter(labels.are_known(examples["label"])) if examples is not None else None
    if known is None or not known.num_rows:
        raise BadFeatures(
            f"Use case {use_case.name!r}: the lake holds no example of partition {partition.key!r} with a known label.",
            f"Run {dag_id(use_case.name, FEATURES)} for it, again once its labels are known.",
        )
    return known


def _earlier(examples: pa.Table, lead: timedelta) -> pa.Table:
    """The examples as if they were asked about so long before."""
    position = examples.column_names.index("event_timestamp")
    moments = examples["event_timestamp"]
    earlier = pc.subtract(moments, pa.scalar(lead, pa.duration("us"))).cast(moments.type)
    return examples.set_column(position, "event_timestamp", earlier)


def _not_known(use_case: UseCase, rows: pa.Table) -> float:
    nulls = features = 0
    for times, names in view_features(use_case, rows).items():
        nulls += rows[times].null_count * len(names)
        features += rows.num_rows * len(names)
    return nulls / features if features else 0.0
