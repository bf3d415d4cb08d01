"""Applying definitions, materializing and retrieving, on real stores."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from feature_cases import DEFINITIONS, Repository

from perennial import lake
from perennial.errors import BadFeatures
from perennial.feature_store import repository

NOON = datetime(2013, 1, 1, 12, tzinfo=UTC)


def at(*minutes: int) -> pa.Array:
    return pa.array([NOON + timedelta(minutes=minute) for minute in minutes], pa.timestamp("us", tz="UTC"))


def intervals(repo: Repository) -> list[tuple[datetime, datetime]]:
    store = repository.open_store()
    return store.registry.get_feature_view(f"{repo.name}_stats", store.project).materialization_intervals


class TestApply:
    def test_applies_once_and_again_when_a_file_changes(self, repo: Repository) -> None:
        repo.define()
        assert repository.apply_if_changed()
        assert not repository.apply_if_changed()
        repo.define(DEFINITIONS.replace("hours=1", "hours=2"))
        assert repository.apply_if_changed()
        store = repository.open_store()
        assert store.get_feature_view(f"{repo.name}_stats").ttl == timedelta(hours=2)

    def test_works_before_the_lake_has_the_table_and_prints_nothing(
        self, repo: Repository, capfd: pytest.CaptureFixture
    ) -> None:
        repo.define()
        capfd.readouterr()
        repository.apply_if_changed()
        assert capfd.readouterr() == ("", "")
        assert repository.feature_names(repo.name) == ["trips", "rating"]
        assert repository.join_keys(repo.name) == ["driver_id"]
        assert repository.lake_tables(repo.name) == {f"{repo.name}_stats": f"{repo.name}.stats"}

    def test_keeps_what_was_materialized(self, repo: Repository) -> None:
        repo.write("stats", driver_id=["a"], event_timestamp=at(0), trips=[1], rating=[0.5])
        repo.define()
        repository.apply_if_changed()
        repository.materialize(repo.name, NOON, NOON + timedelta(hours=1))
        repo.define(DEFINITIONS.replace("hours=1", "hours=2"))
        repository.apply_if_changed()
        assert intervals(repo) == [(NOON, NOON + timedelta(hours=1))]
        assert repository.online_features(repo.name, [{"driver_id": "a"}])[0]["trips"] == 1

    def test_removes_what_is_gone_and_names_it_when_asked(self, repo: Repository) -> None:
        repo.define()
        repository.apply_if_changed()
        repo.define(DEFINITIONS.replace('service = FeatureService(name="{name}", features=[stats])', ""))
        repository.apply_if_changed()
        with pytest.raises(BadFeatures, match=f"no feature service '{repo.name}'"):
            repository.feature_names(repo.name)

    def test_files_import_one_another_and_projects_do_not_mix(
        self, repo: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        head, tail = DEFINITIONS.split("stats = FeatureView(")
        repo.define(head, "shared.py")
        repo.define("from shared import *\nstats = FeatureView(" + tail, "views.py")
        repository.apply_if_changed()
        assert len(repository.open_store().list_feature_views()) == 1
        assert "shared" not in sys.modules
        assert "views" not in sys.modules

    def test_a_package_without_a_file_is_forgotten_too(self, repo: Repository) -> None:
        (repo.folder / "feature_repo" / "common").mkdir()
        repo.define("NAME = 'x'", "common/names.py")
        repo.define(f"from common import names{DEFINITIONS}")
        repository.apply_if_changed()
        assert not [name for name in sys.modules if name.startswith("common")]

    def test_a_python_error_names_file_and_line(self, repo: Repository) -> None:
        repo.define("\nstats = 1 / 0\n")
        with pytest.raises(BadFeatures, match=rf"feature_repo/{repo.name}.py, line 2, .*ZeroDivisionError"):
            repository.apply_if_changed()

    def test_a_service_that_names_a_view_that_is_gone(self, repo: Repository) -> None:
        repo.define(
            DEFINITIONS.replace("stats = FeatureView(", "gone = [FeatureView(")
            .replace('table="{name}.stats"),\n)', 'table="{name}.stats"),\n)]')
            .replace("[stats]", "gone")
        )
        with pytest.raises(BadFeatures, match=rf"{repo.name}_stats', which no file in feature_repo/ defines"):
            repository.apply_if_changed()

    @pytest.mark.parametrize(
        ("field", "complaint"),
        [
            ('"rating_", dtype=Float64', "names column 'rating_', which lake table"),
            ('"rating", dtype=Int64', "declares 'rating' as Int64, but lake table"),
        ],
    )
    def test_a_column_missing_from_the_table_or_of_another_type(
        self, repo: Repository, field: str, complaint: str
    ) -> None:
        repo.write("stats", driver_id=["a"], event_timestamp=at(0), trips=[1], rating=[0.5])
        repo.define(DEFINITIONS.replace('"rating", dtype=Float64', field))
        with pytest.raises(BadFeatures, match=complaint) as error:
            repository.apply_if_changed()
        for word in (f"{repo.name}_stats", f"{repo.name}.stats", f"feature_repo/{repo.name}.py"):
            assert word in str(error.value)

    def test_a_schema_left_out_is_read_from_the_lake(self, repo: Repository) -> None:
        repo.write("stats", driver_id=["a"], event_timestamp=at(0), trips=[1], rating=[0.5])
        repo.define(
            DEFINITIONS.replace(
                '    schema=[Field(name="trips", dtype=Int64), Field(name="rating", dtype=Float64)],\n', ""
            )
        )
        repository.apply_if_changed()
        assert sorted(repository.feature_names(repo.name)) == ["rating", "trips"]

    def test_plain_feast_works_and_ours_applies_again_after_it(self, repo: Repository) -> None:
        repo.write("stats", driver_id=["a"], event_timestamp=at(0), trips=[7], rating=[0.5])
        repo.define()
        repository.apply_if_changed()
        feast = [str(Path(sys.executable).with_name("feast"))]
        for command in (["apply"], ["materialize", "2013-01-01T00:00:00", "2013-01-02T00:00:00"]):
            done = subprocess.run(
                feast + command, cwd=repo.folder / "feature_repo", capture_output=True, text=True, env=os.environ
            )
            assert done.returncode == 0, done.stdout + done.stderr
        assert repository.apply_if_changed()
        assert repository.online_features(repo.name, [{"driver_id": "a"}]) == [
            {"driver_id": "a", "trips": 7, "rating": 0.5}
        ]


class TestMaterialize:
    @pytest.fixture(autouse=True)
    def _hours(self, repo: Repository) -> None:
        repo.write(
            "stats",
            driver_id=["a", "a", "a", "b"],
            event_timestamp=at(0, 30, 60, 10),
            trips=[1, 2, 3, None],
            rating=[0.1, 0.2, 0.3, 0.4],
        )
        repo.define()
        repository.apply_if_changed()

    def trips(self, repo: Repository) -> list[int | None]:
        features = repository.online_features(repo.name, [{"driver_id": name} for name in "abz"])
        return [row["trips"] for row in features]

    def test_takes_each_keys_newest_row_and_leaves_the_end_out(self, repo: Repository) -> None:
        assert repository.materialize(repo.name, NOON, NOON + timedelta(hours=1)) == {f"{repo.name}_stats": 2}
        assert self.trips(repo) == [2, None, None]

    def test_an_old_window_does_not_overwrite_newer_values(self, repo: Repository) -> None:
        hour = timedelta(hours=1)
        repository.materialize(repo.name, NOON + hour, NOON + 2 * hour)
        repository.materialize(repo.name, NOON, NOON + hour)
        assert self.trips(repo) == [3, None, None]

    def test_a_corrected_row_replaces_the_old_one(self, repo: Repository) -> None:
        repository.materialize(repo.name, NOON, NOON + timedelta(hours=2))
        repo.write("stats", driver_id=["a"], event_timestamp=at(60), trips=[4], rating=[0.3])
        repository.materialize(repo.name, NOON, NOON + timedelta(hours=2))
        assert self.trips(repo)[0] == 4

    def test_records_one_interval_for_windows_that_meet_or_overlap(self, repo: Repository) -> None:
        hour = timedelta(hours=1)
        for first, last in [(0, 1), (1, 2), (0, 1), (4, 5), (1, 3)]:
            repository.materialize(repo.name, NOON + first * hour, NOON + last * hour)
        assert intervals(repo) == [(NOON, NOON + 3 * hour), (NOON + 4 * hour, NOON + 5 * hour)]

    def test_an_unknown_view_is_named(self, repo: Repository) -> None:
        with pytest.raises(BadFeatures, match="has no view 'nope'"):
            repository.materialize(repo.name, NOON, NOON, views=["nope"])


class TestHistory:
    def test_returns_rows_as_they_came_with_features_and_their_times(self, repo: Repository) -> None:
        repo.write(
            "stats",
            driver_id=["a", "a", None],
            event_timestamp=at(0, 30, 0),
            trips=[2**53 + 1, None, 9],
            rating=[0.1, 0.2, 0.3],
        )
        repo.define()
        repository.apply_if_changed()
        entities = pa.table(
            {"label": [1, 0, 1, 1, 0], "driver_id": ["a", "a", "a", "z", None], "event_timestamp": at(91, 5, 5, 5, 5)}
        )
        features = repository.historical_features(repo.name, entities)
        assert features.select(entities.column_names).equals(entities)
        assert features.column_names == [
            *entities.column_names,
            "trips",
            "rating",
            f"{repo.name}_stats__event_timestamp",
        ]
        assert features["trips"].type == pa.int64()
        assert features["trips"].to_pylist() == [None, 2**53 + 1, 2**53 + 1, None, None]
        assert features["rating"].to_pylist() == [None, 0.1, 0.1, None, None]
        assert features[f"{repo.name}_stats__event_timestamp"].to_pylist() == [None, NOON, NOON, None, None]

    def test_reads_the_snapshot_it_is_given(self, repo: Repository) -> None:
        repo.write("stats", driver_id=["a"], event_timestamp=at(0), trips=[1], rating=[0.1])
        before = lake.snapshot(f"{repo.name}.stats")
        repo.write("stats", driver_id=["a"], event_timestamp=at(0), trips=[2], rating=[0.1])
        repo.define()
        repository.apply_if_changed()
        entities = pa.table({"driver_id": ["a"], "event_timestamp": at(5)})
        pinned = repository.historical_features(repo.name, entities, snapshots={f"{repo.name}.stats": before})
        assert pinned["trips"].to_pylist() == [1]
        assert repository.historical_features(repo.name, entities)["trips"].to_pylist() == [2]

    def test_errors_name_what_is_missing(self, repo: Repository) -> None:
        repo.define()
        repository.apply_if_changed()
        entities = pa.table({"driver_id": ["a"], "event_timestamp": at(5)})
        with pytest.raises(BadFeatures, match=f"lake table '{repo.name}.stats', which does not exist"):
            repository.historical_features(repo.name, entities)
        repo.write("stats", driver_id=["a"], event_timestamp=at(0), trips=[1])
        with pytest.raises(BadFeatures, match=f"'{repo.name}_stats' names column 'rating'"):
            repository.historical_features(repo.name, entities)
        repo.write("stats", driver_id=["a"], event_timestamp=at(0), trips=[1], rating=[0.1])
        with pytest.raises(BadFeatures, match="lack 'driver_id', a join key of"):
            repository.historical_features(repo.name, entities.select(["event_timestamp"]))


def test_two_processes_applying_and_materializing_lose_nothing(repo: Repository) -> None:
    hours, hour = 5, timedelta(hours=1)
    minutes = range(0, 60 * hours, 5)
    repo.write(
        "stats",
        driver_id=[name for _ in minutes for name in "ab"],
        event_timestamp=at(*(minute for minute in minutes for _ in "ab")),
        trips=[minute for minute in minutes for _ in "ab"],
        rating=[0.0 for _ in minutes for _ in "ab"],
    )
    repo.define()
    script = textwrap.dedent(f"""
        import sys
        from datetime import datetime, timedelta
        from perennial.feature_store import repository
        noon, hour = datetime.fromisoformat({NOON.isoformat()!r}), timedelta(hours=1)
        repository.apply_if_changed()
        for n in eval(sys.argv[1]):
            repository.materialize({repo.name!r}, noon + n * hour, noon + (n + 1) * hour)
            assert repository.online_features({repo.name!r}, [{{"driver_id": "a"}}])[0]["trips"] is not None
            repository.apply_if_changed()
    """)
    orders = [f"range({hours})", f"range({hours - 1}, -1, -1)"]
    workers = [
        subprocess.Popen([sys.executable, "-c", script, order], stderr=subprocess.PIPE, text=True, env=os.environ)
        for order in orders
    ]
    for worker in workers:
        _, trouble = worker.communicate(timeout=200)
        assert worker.returncode == 0, trouble
    assert intervals(repo) == [(NOON, NOON + hours * hour)]
    features = repository.online_features(repo.name, [{"driver_id": name} for name in "ab"])
    assert [row["trips"] for row in features] == [60 * hours - 5] * 2
