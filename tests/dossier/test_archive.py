"""The file that a dossier is: one form only, and whatever was done to it is found; nothing of it is extracted."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import time
import warnings
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perennial.dossier import archive, manifest, verifying, writing
from perennial.errors import InvalidParams

FILES = {"index.html": b"<p>first</p>", "data/tables.json": b"[]\n", "sources/a/use_case.py": b"x = 1\n" * 20}
ABOUT = {"use_case": "energy", "version": 3}
WHOLE = archive.pack(FILES | {"manifest.json": manifest.make(ABOUT, FILES)})


def problems(content: bytes) -> dict[str, str]:
    return {problem.file: problem.what for problem in verifying.verify_content(content).problems}


def zipped(files: list[tuple[zipfile.ZipInfo | str, bytes]], **options: int) -> bytes:
    """An archive that the library does not write, with whatever files."""
    stream = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(stream, "w", **options) as packed:
        warnings.simplefilter("ignore")  # Of names that are there twice.
        for name, content in files:
            packed.writestr(name, content)
    return stream.getvalue()


def test_a_written_dossier_is_intact() -> None:
    found = verifying.verify_content(WHOLE)
    assert found.is_intact
    assert (found.use_case, found.version, found.files) == ("energy", 3, 4)
    assert len(found.digest) == 64


def test_the_same_files_give_the_same_bytes_wherever_they_are_packed() -> None:
    reversed_files = dict(reversed(FILES.items()))
    code = (
        f"import sys; from perennial.dossier import archive; sys.stdout.buffer.write(archive.pack({reversed_files!r}))"
    )
    environment = os.environ | {"TZ": "Asia/Tokyo", "PYTHONHASHSEED": "7", "LC_ALL": "C"}
    other = subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.PIPE, env=environment).stdout
    assert other == archive.pack(FILES)


def test_index_and_manifest_come_first() -> None:
    with zipfile.ZipFile(io.BytesIO(WHOLE)) as packed:
        assert packed.namelist() == ["index.html", "manifest.json", "data/tables.json", "sources/a/use_case.py"]


@given(place=st.integers(0, len(WHOLE) - 1), bits=st.integers(1, 255))
def test_any_byte_that_is_changed_is_found(place: int, bits: int) -> None:
    changed = bytearray(WHOLE)
    changed[place] ^= bits
    assert problems(bytes(changed))


def test_every_bit_of_every_byte_is_found() -> None:
    for place in range(len(WHOLE)):
        changed = bytearray(WHOLE)
        changed[place] ^= 1 << place % 8
        assert problems(bytes(changed)), place


def test_a_changed_byte_of_a_file_names_the_file() -> None:
    place = WHOLE.index(b"x = 1")
    assert list(problems(WHOLE[:place] + b"y" + WHOLE[place + 1 :])) == ["sources/a/use_case.py"]


@given(length=st.integers(0, len(WHOLE) - 1))
def test_a_truncated_dossier_is_found(length: int) -> None:
    assert problems(WHOLE[:length])


@pytest.mark.parametrize("added", [b"\0", b"more", WHOLE])
def test_bytes_before_or_after_it_are_found(added: bytes) -> None:
    assert problems(WHOLE + added)
    assert problems(added + WHOLE)


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (FILES | {"index.html": b"<p>other</p>"}, {"index.html": "was changed"}),
        ({name: FILES[name] for name in ("index.html", "data/tables.json")}, {"sources/a/use_case.py": "is missing"}),
        (FILES | {"more.json": b""}, {"more.json": "was added"}),
        (
            {"index.html": FILES["index.html"], "data/table.json": b"[]\n", "sources/a/use_case.py": b"x = 1\n" * 20},
            {"data/table.json": "was added", "data/tables.json": "is missing"},
        ),
    ],
    ids=["changed", "missing", "added", "renamed"],
)
def test_another_archive_of_other_files_names_them(files: dict[str, bytes], expected: dict[str, str]) -> None:
    assert problems(archive.pack(files | {"manifest.json": manifest.make(ABOUT, FILES)})) == expected


def test_a_missing_manifest_is_told() -> None:
    assert problems(archive.pack(FILES)) == {"manifest.json": "is missing"}


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"{}", b'{"files": 3}', b"\xff", b"[" * 100_000, b'{"format": "perennial-dossier/1"}']
)
def test_what_is_no_manifest_is_told(content: bytes) -> None:
    assert "manifest.json" in problems(archive.pack(FILES | {"manifest.json": content}))


def test_a_manifest_with_another_digest_is_told() -> None:
    written = manifest.make(ABOUT, FILES)
    assert "manifest.json" in problems(
        archive.pack(FILES | {"manifest.json": written.replace(b'"energy"', b'"flight"')})
    )


@pytest.mark.parametrize("name", ["../up", "/root", "a/../../b", "a\\b", "C:x", "", "a/", "nul\0", "é", "a" * 500])
def test_a_name_that_leads_elsewhere_is_not_read(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    entry = zipfile.ZipInfo("x")
    entry.filename = name
    assert problems(zipped([(entry, b"evil"), *FILES.items()]))
    assert not archive.is_name(name)
    assert not list(tmp_path.rglob("*"))
    assert not (tmp_path.parent / "up").exists()


def test_a_symbolic_link_is_not_read() -> None:
    link = zipfile.ZipInfo("data/tables.json")
    link.create_system, link.external_attr = 3, 0o120777 << 16
    files, found = archive.unpack(zipped([(link, b"/etc/passwd")]))
    assert not files
    assert found == [archive.Problem("data/tables.json", "is no regular file; it was not read")]


def test_a_bomb_is_not_unpacked() -> None:
    bomb = zipped([("index.html", bytes(200_000_000))], compression=zipfile.ZIP_DEFLATED)
    began = time.process_time()
    assert "says that it holds 200,000,000 bytes" in problems(bomb)[""]
    assert time.process_time() - began < 1


def test_a_compressed_file_is_not_read() -> None:
    small = zipped([("index.html", b"x" * 60), ("a", os.urandom(200))], compression=zipfile.ZIP_DEFLATED)
    assert "compressed" in problems(small)["index.html"]


def test_a_name_that_is_there_twice_is_told() -> None:
    twice = zipped([("index.html", b"one"), ("index.html", b"two")])
    assert problems(twice)["index.html"] == "is in the archive twice"


@given(st.binary(max_size=300))
def test_whatever_the_bytes_are_verifying_tells_problems(content: bytes) -> None:
    assert problems(content)


def test_it_is_written_whole_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    assert writing.write(WHOLE, path)
    assert path.read_bytes() == WHOLE
    assert path.stat().st_mode & 0o777 == 0o600
    assert [each.name for each in tmp_path.iterdir()] == ["a.zip"]
    assert verifying.verify(path).is_intact


def test_the_same_bytes_may_be_written_again(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    assert (writing.write(WHOLE, path), writing.write(WHOLE, path)) == (True, False)


@pytest.mark.parametrize("kind", ["file", "folder", "dangling link"])
def test_another_file_is_never_replaced(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a.zip"
    make = {
        "file": lambda: path.write_bytes(b"mine"),
        "folder": path.mkdir,
        "dangling link": lambda: path.symlink_to(tmp_path / "elsewhere"),
    }
    make[kind]()
    with pytest.raises(InvalidParams, match="is there already"):
        writing.write(WHOLE, path)
    assert [each.name for each in tmp_path.iterdir()] == ["a.zip"]
    assert kind != "file" or path.read_bytes() == b"mine"


def test_without_a_folder_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(InvalidParams, match="There is no folder"):
        writing.write(WHOLE, tmp_path / "none" / "a.zip")


def test_what_is_no_file_is_no_dossier(tmp_path: Path) -> None:
    with pytest.raises(InvalidParams, match="is no file"):
        verifying.verify(tmp_path)


@pytest.mark.parametrize(
    "told",
    [{"use_case": "energy\x1b[2J"}, {"as_of": "yesterday"}, {"as_of": 5}, {"newest_record": "2024-01-01T00:00:00"}],
    ids=["use case", "no time", "number", "no time zone"],
)
def test_a_made_up_manifest_is_told(told: dict[str, object]) -> None:
    written = manifest.make(ABOUT | told, FILES)
    assert list(problems(archive.pack(FILES | {"manifest.json": written}))) == ["manifest.json"]
