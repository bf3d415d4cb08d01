"""The lake and the training sets on an object store, by settings alone: moto speaks S3 on loopback."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator

import boto3
import pyarrow as pa
import pytest

from perennial import lake
from perennial.doctor import stores
from perennial.settings import settings
from perennial.training import training_set, training_set_file


@pytest.fixture(scope="module")
def object_store(home, s3_server: str) -> Iterator[str]:
    """An S3 server with an empty bucket; settings and environment name it."""
    with pytest.MonkeyPatch.context() as changed:
        for name, value in {
            "AWS_ENDPOINT_URL_S3": s3_server,
            "PERENNIAL_CATALOG": json.dumps({"s3.endpoint": s3_server, "s3.region": "us-east-1"}),
            "PERENNIAL_WAREHOUSE": "s3://bucket/lake",
            "PERENNIAL_TRAINING_SETS": "s3://bucket/training_sets",
        }.items():
            changed.setenv(name, value)
        settings.cache_clear()
        lake.catalog.cache_clear()
        yield s3_server
    settings.cache_clear()
    lake.catalog.cache_clear()


def keys(address: str) -> list[str]:
    listing = boto3.client("s3", endpoint_url=address).list_objects_v2(Bucket="bucket")
    return [item["Key"] for item in listing.get("Contents", [])]


def test_a_partition_is_replaced_on_s3(object_store: str) -> None:
    lake.replace("on_s3.trips", "2013-01", pa.table({"id": [1, 2]}))
    lake.replace("on_s3.trips", "2013-01", pa.table({"id": [3]}))
    assert lake.read("on_s3.trips").to_pylist() == [{"partition": "2013-01", "id": 3}]
    assert any(key.startswith("lake/") and key.endswith(".parquet") for key in keys(object_store))


def test_a_training_set_is_written_once_on_s3(object_store: str) -> None:
    content = training_set_file.encode(pa.table({"id": [1, 2]}))
    digest = hashlib.sha256(content).hexdigest()
    path = f"{settings().training_sets}/taxis/{digest}.parquet"
    training_set_file.store(content, path)
    training_set_file.store(content, path)
    assert [key for key in keys(object_store) if key.startswith("training_sets/")] == [
        f"training_sets/taxis/{digest}.parquet"
    ]
    moment = "2024-01-01T00:00:00+00:00"
    stored = training_set.TrainingSet(
        digest=digest, path=path, start=moment, holdout_start=moment, end=moment, rows=2, snapshots={}
    )
    assert stored.table["id"].to_pylist() == [1, 2]
    assert os.environ["AWS_ENDPOINT_URL_S3"] == object_store


def test_quarantined_content_is_kept_on_s3(object_store: str) -> None:
    from types import SimpleNamespace

    from perennial.quarantine import files

    rows = pa.table({"id": pa.array([1, 2], pa.int16()), "day": pa.array([1, None], pa.date32())})
    use_case = SimpleNamespace(name="on_s3")
    name = files.save(use_case, rows)
    assert files.save(use_case, rows) == name
    assert files.content(use_case, name).equals(rows)
    assert f"lake/quarantined/on_s3/{name}.arrow" in keys(object_store)


def test_the_doctor_looks_there_too(object_store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    findings = {finding.name: finding for finding in stores.lake()}
    assert {name: finding.state for name, finding in findings.items()} == {"Lake": "passed", "Training sets": "passed"}
    monkeypatch.setenv("PERENNIAL_WAREHOUSE", "s3://bukcet/lake")
    monkeypatch.setenv("PERENNIAL_TRAINING_SETS", "s3://bukcet/training_sets")
    settings.cache_clear()
    findings = {finding.name: finding for finding in stores.lake()}
    assert {finding.state for finding in findings.values()} == {"failed"}
    assert "there is no bukcet" in findings["Lake"].message
    assert "PERENNIAL_TRAINING_SETS" in findings["Training sets"].fix
    monkeypatch.undo()
    settings.cache_clear()
