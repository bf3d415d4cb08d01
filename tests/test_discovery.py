"""Finding use cases: one that is broken or retired does not keep the others from being found."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from perennial import discovery
from perennial.errors import PerennialError, UnknownUseCase


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of a use case `shop` whose declaration cannot be imported."""
    folder = tmp_path / "use_cases/shop"
    folder.mkdir(parents=True)
    (folder / "use_case.py").write_text("import nothing_like_it\n")
    monkeypatch.syspath_prepend(tmp_path)
    sys.modules.pop("use_cases", None)
    yield folder
    sys.modules.pop("use_cases", None)


def test_a_broken_use_case_is_told_beside_the_loaded_ones(shop: Path) -> None:
    loaded, broken = discovery.load_all()
    assert {"flights", "energy"} <= {use_case.name for use_case in loaded}
    assert "use_cases/shop/use_case.py, line 1" in broken["shop"].problem


def test_what_was_retired_is_read_back_and_undone(shop: Path) -> None:
    made = discovery.retire("shop", 'nobody "buys"\nany more: \\ ü')
    assert discovery.retirement("shop") == made
    assert made.reason == 'nobody "buys" any more: \\ ü'
    with pytest.raises(PerennialError, match="retired since"):
        discovery.check_active("shop")
    discovery.reinstate("shop")
    assert discovery.retirement("shop") is None
    discovery.check_active("shop")


def test_a_damaged_retirement_is_an_error(shop: Path) -> None:
    (shop / discovery.RETIRED).write_text("reason = 3 4")
    with pytest.raises(PerennialError, match=r"retired\.toml cannot be read"):
        discovery.retirement("shop")


def test_an_unknown_use_case_is_not_retired(shop: Path) -> None:
    assert discovery.retirement("nothing") is None
    with pytest.raises(UnknownUseCase):
        discovery.retire("../shop", "no")
