"""The file of a training set is immutable and named by its content."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pyarrow as pa
import pytest

from perennial.errors import BadFeatures
from perennial.training import training_set_file


def stored(folder: Path, rows: pa.Table) -> tuple[str, str]:
    """The path and the digest of the file that is written of these rows."""
    content = training_set_file.encode(rows)
    digest = hashlib.sha256(content).hexdigest()
    path = str(folder / f"{digest}.parquet")
    training_set_file.store(content, path)
    return path, digest


def test_equal_rows_have_one_file_whatever_their_chunks(tmp_path: Path) -> None:
    whole = pa.table({"id": [0, 1, 2, 3]})
    chunked = pa.concat_tables([whole.slice(0, 1), whole.slice(1)])
    assert stored(tmp_path, whole) == stored(tmp_path, chunked)
    assert len(list(tmp_path.iterdir())) == 1


def test_a_changed_file_is_refused(tmp_path: Path) -> None:
    path, digest = stored(tmp_path, pa.table({"id": [0, 1, 2]}))
    Path(path).write_bytes(training_set_file.encode(pa.table({"id": [0, 1]})))
    with pytest.raises(BadFeatures, match="does not have the digest it is named by"):
        training_set_file.read(path, digest)


@pytest.mark.parametrize("name", ["a b", "a%20b", "a#b", "a?b", "é", "o'ng, x"])
def test_any_path_is_a_path_and_no_uri(tmp_path: Path, name: str) -> None:
    rows = pa.table({"id": [0, 1, 2]})
    (tmp_path / name).mkdir()
    path, digest = stored(tmp_path / name, rows)
    assert training_set_file.read(path, digest).equals(rows)
    assert [each.name for each in tmp_path.iterdir()] == [name]
