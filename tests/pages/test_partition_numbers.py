"""Numbers of a partition's page agree with each other and with `perennial status`, also after a release."""

from __future__ import annotations

import re

import pyarrow as pa
import pytest

from perennial import UseCase, discovery
from perennial.errors import BadBatch
from perennial.ingestion import compute, ingest
from perennial.pages import layout, partition_data
from perennial.pages import partition as page
from perennial.pages import validation as validation_page
from perennial.quarantine import review
from perennial.reporting import partition_status
from perennial.validation import results

FIRST, SECOND, THIRD = "2024-01-01", "2024-01-02", "2024-01-03"


@pytest.fixture(scope="module")
def energy(project) -> UseCase:
    return discovery.load("energy")


def ingest_with(energy: UseCase, day: str, wrong: int) -> None:
    """Ingest a day of which so many readings are impossible."""
    module = energy.module("source")
    source = module.readings

    def readings(partition: object) -> pa.Table:
        rows = source(partition)
        kwh = pa.array([5000.0 + number for number in range(wrong)] + rows["kwh"].to_pylist()[wrong:])
        return rows.set_column(rows.schema.get_field_index("kwh"), "kwh", kwh)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(module, "readings", readings)
        ingest.ingest_partition(energy, energy.partition(day))


def shown(energy: UseCase, day: str) -> str:
    content = page.view(energy, energy.partition(day), page.records(energy), [])
    return " ".join(re.sub(r"<[^>]+>", " ", layout.render("partition", **content)).split())


def opened(energy: UseCase, day: str) -> dict:
    return validation_page.view(energy, day, results.of_partition(energy, energy.partition(day)), None)


def test_quarantined_and_released_rows_are_told_apart(energy) -> None:
    ingest_with(energy, FIRST, 3)
    text = shown(energy, FIRST)
    assert "285 raw rows loaded; 3 quarantined, 3 rows and batches pending review" in text
    named = ["expect_column_values_to_be_between(kwh)"]
    review.release(energy, energy.partition(FIRST), actor="ann", reason="a new meter", accept=named)
    ingest_with(energy, FIRST, 3)
    text = shown(energy, FIRST)
    assert "288 raw rows loaded; 0 quarantined " in text
    assert "rows loaded of them released from quarantine in quarantine" in text
    assert "readings 288 3 0 " in text
    assert "All rows and batches that were ever quarantined" in text
    (status,) = [row for row in partition_status.status(energy).partitions if row.partition == FIRST]
    assert (status.rows, status.quarantined, status.waiting) == (288, 0, 0)


def test_a_rejected_batch_counts_until_another_is_loaded(energy) -> None:
    with pytest.raises(BadBatch):
        ingest_with(energy, SECOND, 200)
    assert "1 row or batch pending review" in shown(energy, SECOND)
    assert "1 whole batch pending review" in shown(energy, SECOND)
    ingest_with(energy, SECOND, 0)
    text = shown(energy, SECOND)
    assert "288 raw rows loaded; 0 quarantined " in text
    assert "whole batch" not in text
    assert "✓ all passed" in text


def test_the_validation_page_opens_on_the_failure(energy) -> None:
    ingest_with(energy, THIRD, 3)
    compute.compute_features(energy, energy.partition(THIRD))
    first = opened(energy, THIRD)
    assert [table["table"] for table in first["tables"]] == ["readings"], "the features, validated later, passed"
    text = layout.render("validation", **first)
    assert "The newest validation of readings: some expectations failed." in text
    assert re.search(r"The newest validation of [\w, ]*meter_history[\w, ]*: <a ", text)
    ingest_with(energy, THIRD, 0)
    assert {table["failed"] for table in opened(energy, THIRD)["tables"]} == {0}


def test_a_failure_that_recurs_is_the_current_state_again(energy) -> None:
    for wrong in (3, 0, 3, 3):
        ingest_with(energy, THIRD, wrong)
        assert (opened(energy, THIRD)["tables"][0]["failed"] > 0) == (wrong > 0)
    of_readings = [row for row in results.of_partition(energy, energy.partition(THIRD)) if row["table"] == "readings"]
    assert len(of_readings) == 5, "the same results one after the other are recorded once"
    assert len(opened(energy, THIRD)["others"]) == 3, "equal results are one run, beside that of the features"
    earlier = validation_page.view(energy, THIRD, of_readings, of_readings[1]["validation"])
    assert not earlier["is_current"]
    assert "An earlier validation" in layout.render("validation", **earlier)


def test_a_version_is_named_once_however_often_it_scored() -> None:
    rows = [(2, 10), (3, 4), (2, 5)]
    made = [{"model_version": version, "rows": count} for version, count in rows]
    assert partition_data.scored_by(made) == [{"version": 2, "rows": 15}, {"version": 3, "rows": 4}]


@pytest.mark.parametrize(
    ("verdict", "share"),
    [
        ({}, None),
        ({"model_version": None, "label_coverage": 0.0}, None),
        ({"model_version": 2, "label_coverage": 0.0, "evidence": '{"rows": 0}'}, None),
        ({"model_version": 2, "label_coverage": 0.0, "evidence": '{"rows": 9}'}, 0.0),
        ({"model_version": 2, "label_coverage": 0.5, "evidence": "{}"}, 0.5),
    ],
)
def test_a_share_of_no_predictions_is_none(verdict: dict, share: float | None) -> None:
    assert partition_status.label_coverage(verdict) == share
