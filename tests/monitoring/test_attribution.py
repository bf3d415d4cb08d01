"""What a verdict says of where a loss comes from, on real stores: the relation, an input, or that it is not known."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from pipelines import run_features, train
from rewritten import rewrite

from perennial import gate, lake, scoring
from perennial.gate import challenger
from perennial.monitoring import monitor
from perennial.monitoring.verdict import Verdict
from perennial.pages import partition_monitoring, verdict_evidence
from perennial.partitions import Partition
from perennial.use_case import UseCase

SHIFTED = "hour_sin"


def day(use_case: UseCase, number: int) -> Partition:
    return use_case.partition(f"2024-01-{number:02}")


@pytest.fixture(scope="module")
def scored(project, mlflow_server, energy: UseCase) -> UseCase:
    """A model of three days, and a fourth day that it has scored and whose labels are known."""
    for number in range(1, 5):
        run_features(energy, day(energy, number))
        if number == 3:
            gate.finalize(energy, gate.evaluate(energy, train(energy, "first")))
        scoring.score(energy, day(energy, number))
    return energy


def monitored(
    use_case: UseCase, errors: Callable[[pd.DataFrame], np.ndarray], shift: float = 0.0, nulls: float = 0.0
) -> Verdict:
    """The verdict on a fourth day whose labels differ from the predictions by `errors`, with one input changed."""
    fourth = day(use_case, 4)

    def change_input(rows: pd.DataFrame) -> pd.DataFrame:
        is_null = np.arange(len(rows)) % 10 < 10 * nulls
        return rows.assign(**{SHIFTED: np.where(is_null, np.nan, np.sin(rows.index) + shift)})

    rewrite(use_case.tables.predictions, fourth, change_input)
    seen = lake.read(use_case.tables.predictions, partitions=[fourth.key]).to_pandas()

    def change(rows: pd.DataFrame) -> pd.DataFrame:
        key = list(use_case.examples.key)
        predicted = seen[[*key, "prediction", SHIFTED]]
        merged = rows.merge(predicted, on=key, how="left", suffixes=("", "_seen"), validate="1:1")
        rows["label"] = (merged["prediction"] + errors(merged)).to_numpy()
        return rows

    rewrite(use_case.tables.examples, fourth, change)
    return monitor.monitor(use_case, fourth)


def noise(rows: pd.DataFrame) -> np.ndarray:
    return np.random.default_rng(0).normal(0, 3, len(rows))


def larger_where_null(rows: pd.DataFrame) -> np.ndarray:
    return noise(rows) * np.where(rows[f"{SHIFTED}_seen"].isna(), 2.0, 0.1)


def test_a_loss_without_a_shift_is_not_explained_by_inputs(scored: UseCase) -> None:
    verdict = monitored(scored, noise)
    evidence = verdict.evidence
    assert verdict.reason == "performance"
    assert abs(evidence.attribution.cost_of_inputs) < 0.2 * evidence.lost
    assert evidence.attribution.cost_of_inputs + evidence.attribution.unexplained == pytest.approx(evidence.lost)
    assert f"of the {evidence.lost:.2g} lost, " in verdict.explanation
    assert "the relation between inputs and label changed, or something that is no input" in verdict.explanation


def test_the_cost_of_a_column_is_told_stored_and_shown(scored: UseCase) -> None:
    verdict = monitored(scored, larger_where_null, nulls=0.5)
    assert verdict.evidence.drifted[SHIFTED].cost > 0.5 * verdict.evidence.lost
    assert verdict.evidence.attribution.cost_of_inputs > 0.5 * verdict.evidence.lost
    assert f"is explained by the shift of the inputs, most by {SHIFTED} (" in verdict.explanation
    rows = lake.records(scored.tables.drift)
    newest = {row["column"]: row for row in sorted(rows, key=lambda row: row["recorded_at"])}
    assert newest[SHIFTED]["cost"] == verdict.evidence.drifted[SHIFTED].cost
    assert [name for name, row in newest.items() if row["cost"] is not None and not row["drifted"]] == []
    shown = dict(verdict_evidence.facts(verdict.evidence))["of that, explained by the shift of the inputs"]
    assert "by the inputs" in shown
    current = {"model_version": 1}
    columns = partition_monitoring.drift(scored, [*rows, *_of_an_older_release(rows)], current)["columns"]
    assert columns[0]["column"] == "prediction"


def _of_an_older_release(rows: list[dict]) -> list[dict]:
    return [{name: value for name, value in row.items() if name != "cost"} | {"model_version": 1} for row in rows[:2]]


def test_a_shift_far_away_cannot_be_told(scored: UseCase) -> None:
    verdict = monitored(scored, noise, shift=50.0)
    assert verdict.evidence.attribution.cost_of_inputs is None
    assert verdict.evidence.attribution.overlap < 0.1
    assert "what the inputs cost cannot be told" in verdict.explanation


def test_where_nothing_fell_or_drifted_nothing_is_explained(scored: UseCase) -> None:
    fourth = day(scored, 4)
    rewrite(scored.tables.examples, fourth, lambda rows: rows.assign(label=None, label_timestamp=None))
    assert monitor.monitor(scored, fourth).evidence.attribution is None


def test_it_decides_nothing_and_says_why_it_is_left_out(scored: UseCase, monkeypatch) -> None:
    before = monitored(scored, noise)
    data = challenger.training_set(scored, lake.records(scored.tables.ledger)[0]["model_run"])
    gone = data.model_copy(update={"path": f"{data.path}.gone"})
    monkeypatch.setattr(challenger, "training_set", lambda *_: gone)
    verdict = monitor.monitor(scored, day(scored, 4))
    assert (verdict.verdict, verdict.reason) == (before.verdict, before.reason)
    assert verdict.evidence.lost == before.evidence.lost
    assert "gone" in verdict.evidence.attribution.left_out
    assert "explained by" not in verdict.explanation
    assert (
        "not known: " in dict(verdict_evidence.facts(verdict.evidence))["of that, explained by the shift of the inputs"]
    )


def test_monitored_again_it_says_the_same(scored: UseCase) -> None:
    first = monitored(scored, noise)
    assert monitor.monitor(scored, day(scored, 4)).evidence == first.evidence
