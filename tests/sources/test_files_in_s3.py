"""Files in S3 are read as those on a disk: by a server that speaks S3."""

from __future__ import annotations

import gzip
import io
from datetime import UTC, datetime

import boto3
import pandas as pd
import pytest

from perennial import Cadence
from perennial.sources import Files
from perennial.sources.columns import Schema

SCHEMA: Schema = {"when": "timestamp", "name": "string", "v": "float64"}
JANUARY = Cadence.MONTHLY.partition("2023-01")
WHEN = pd.to_datetime(["2023-01-02", "", "2023-02-03"], utc=True)
SALES = pd.DataFrame({"when": WHEN, "name": ["a", "b", "c"], "v": [1.5, 2.5, 3.5]})


def as_parquet() -> bytes:
    buffer = io.BytesIO()
    SALES.to_parquet(buffer)
    return buffer.getvalue()


@pytest.fixture
def bucket(s3_server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", s3_server)
    client = boto3.client("s3", endpoint_url=s3_server)
    packed = gzip.compress(SALES.to_csv(index=False).encode())
    for key, content in {
        "parquet/year=2023/a b.parquet": as_parquet(),
        "csv/year=2023/a [1].csv": SALES.to_csv(index=False).encode(),
        "packed/year=2023/a.csv.gz": packed,
        "damaged/a.csv": SALES.to_csv(index=False).encode(),
        "damaged/b.csv.gz": packed[:-12],
    }.items():
        client.put_object(Bucket="bucket", Key=key, Body=content)
    return "s3://bucket"


@pytest.mark.parametrize("kind", ["parquet", "csv", "packed"])
def test_every_record_of_a_file_in_s3_is_counted(bucket: str, kind: str) -> None:
    source = Files("shop", f"{bucket}/{kind}", format="parquet" if kind == "parquet" else "csv")
    batch = source.read_batch({**SCHEMA, "year": "int64"}, JANUARY, "when")
    row = {"when": datetime(2023, 1, 2, tzinfo=UTC), "name": "a", "v": 1.5, "year": 2023}
    assert batch.rows.to_pylist() == [row]
    assert (batch.unreadable.num_rows, batch.files[0].elsewhere) == (1, 1)


def test_a_damaged_file_in_s3_stops_no_other(bucket: str) -> None:
    batch = Files("shop", f"{bucket}/damaged", format="csv").read_batch(SCHEMA, JANUARY, "when")
    assert batch.rows["name"].to_pylist() == ["a"]
    (damaged,) = [each for each in batch.unreadable.to_pylist() if each["file"].endswith("b.csv.gz")]
    assert damaged["reason"] == "unreadable(file)"
