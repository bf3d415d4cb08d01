"""Stores a home in one small file, and restores it in another folder with every path and every snapshot id in place.

A stored home is a `.tar.xz` of the home's files, without PostgreSQL's own folder, and of its databases as SQL. Every
absolute path in it begins with `PLACE`.
"""

from __future__ import annotations

import io
import json
import re
import shutil
import sqlite3
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import fastavro
import pytest

from perennial.registry import provenance
from perennial.services import postgres_address
from perennial.settings import settings

HERE = Path(__file__).parent.resolve()
ROOT = HERE.parents[1]
#: Where a stored home's paths say that it is.
PLACE = "/srv/perennial"
#: What of a home is not stored. Nothing of Perennial reads MLflow's plots.
_LEFT_OUT = ("postgres", "__pycache__", "*.log", "*.png", "*-wal", "*-shm")
_DATABASES = ("lake", "mlflow", "feast")
#: In a page of drift Evidently's own script and fonts, four megabytes that are no data.
_NO_DATA = re.compile(
    rb"<script>(?:(?!</script>).){1000000,}</script>|<style>(?:(?!</style>).){100000,}</style>", re.DOTALL
)
#: Files with paths that are text.
_TEXTS = (".json", ".sql")
#: Where addresses in its records say that MLflow is.
MLFLOW = "http://127.0.0.1:5500"


def store(home: Path, archive: Path) -> None:
    """Write the home and its databases to `archive`; equal content gives equal bytes."""
    for file in home.glob("*.db"):
        with closing(sqlite3.connect(file)) as database:
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "home"
        shutil.copytree(home, folder, ignore=shutil.ignore_patterns(*_LEFT_OUT))
        for name in _DATABASES:
            (folder / f"{name}.sql").write_text(_postgresql("pg_dump", name, "--no-owner", "--no-privileges"))
        for page in folder.rglob("drift.html"):
            page.write_bytes(_NO_DATA.sub(b"", page.read_bytes()))
        _relocate(folder, str(home), PLACE)
        for file in filter(Path.is_file, folder.rglob("*")):
            for path in (home, ROOT):
                assert str(path).encode() not in file.read_bytes(), f"{file} holds a path that is not relocated"
        with tarfile.open(archive, "w:xz", preset=9) as packed:
            # Files of one kind side by side: what they have in common is stored once.
            for file in sorted(filter(Path.is_file, folder.rglob("*")), key=lambda file: (file.suffix, file)):
                entry = tarfile.TarInfo(str(file.relative_to(folder)))
                entry.size = file.stat().st_size
                packed.addfile(entry, io.BytesIO(file.read_bytes()))


def restore(archive: Path, home: Path) -> None:
    """Bring a stored home to `home`, whose PostgreSQL runs and has empty databases."""
    with tarfile.open(archive) as packed:
        for entry in packed:
            file = home / entry.name
            file.parent.mkdir(parents=True, exist_ok=True)
            content = packed.extractfile(entry)
            assert content is not None
            file.write_bytes(content.read())
    _relocate(home, PLACE, str(home))
    for name in _DATABASES:
        _postgresql("psql", name, "--quiet", "--set=ON_ERROR_STOP=1", f"--file={home / f'{name}.sql'}")


@contextmanager
def project(home: Path, commit: str) -> Iterator[Path]:
    """The project of a home: the use case `energy` and its features alone; the environment points there.

    What a team writes itself is stored with its home: code of a use case that changes is another use case.

    Args:
        home: Where it is in the folder `project`; made there from the repository if it is not there yet.
        commit: What is recorded as the commit of its code.
    """
    folder = home / "project"
    if not folder.exists():
        second, ignored = ROOT / "tests/second_use_case", shutil.ignore_patterns("__pycache__")
        shutil.copytree(second / "use_cases", folder / "code/use_cases", ignore=ignored)
        shutil.copytree(second / "feature_repo", folder / "feature_repo", ignore=ignored)
        shutil.copy(ROOT / "feature_repo/feature_store.yaml", folder / "feature_repo")
    with pytest.MonkeyPatch.context() as changed:
        changed.syspath_prepend(str(folder / "code"))
        changed.setenv("PERENNIAL_PROJECT", str(folder))
        changed.setenv("PERENNIAL_COMMIT", commit)
        changed.setenv("PERENNIAL_MLFLOW_PUBLIC_URI", MLFLOW)
        _forget()
        yield folder
    _forget()


def _forget() -> None:
    """Let the process read settings and the use case anew."""
    for cached in (settings, provenance.code_version):
        cached.cache_clear()
    for name in [name for name in sys.modules if f"{name}.".startswith("use_cases.energy.")]:
        del sys.modules[name]


def _postgresql(program: str, database: str, *options: str) -> str:
    """The output of one of PostgreSQL's own programs, which are in the wheel of the embedded server."""
    from perennial.embedded.postgres_programs import programs

    where = postgres_address.address()
    command = [
        str(programs() / program),
        *(f"--host={where.socket}", f"--port={where.port}", f"--username={where.user}", f"--dbname={database}"),
        *options,
    ]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def _relocate(folder: Path, before: str, after: str) -> None:
    """Replace `before` by `after` at the beginning of every path in the files of a folder."""
    for file in filter(Path.is_file, folder.rglob("*")):
        if file.suffix in _TEXTS:
            file.write_text(file.read_text().replace(before, after))
    # Lists of manifests after the manifests themselves, whose lengths they hold.
    for file in sorted(folder.rglob("*.avro"), key=lambda file: file.name.startswith("snap-")):
        _relocate_avro(file, before, after)


def _relocate_avro(file: Path, before: str, after: str) -> None:
    """The same in a file of Iceberg's; uncompressed, because many of them compress better together."""
    with file.open("rb") as stream:
        reader = fastavro.reader(stream)
        described, records = dict(reader.metadata), list(reader)
    schema = json.loads(described.pop("avro.schema"))
    described.pop("avro.codec", None)
    for record in records:
        if "manifest_path" in record:
            record["manifest_path"] = record["manifest_path"].replace(before, after)
            relocated = file.parent / Path(record["manifest_path"]).name
            record["manifest_length"] = relocated.stat().st_size
        else:
            record["data_file"]["file_path"] = record["data_file"]["file_path"].replace(before, after)
    with file.open("wb") as stream:
        # Its mark between blocks is random otherwise.
        fastavro.writer(stream, schema, records, metadata=described, sync_marker=bytes(16))
