"""What materialization brings online, by our engine: exactly the lake's values, whichever store is named."""

from __future__ import annotations

from datetime import timedelta

import pyarrow as pa
import pytest
from feature_cases import DEFINITIONS, YAML, Repository
from online_cases import NOON

from perennial.errors import BadFeatures
from perennial.feature_store import repository

HOUR = timedelta(hours=1)
CONFIGURED = "type: perennial.feature_store.online.ConfiguredOnlineStore"


def at(*minutes: int) -> pa.Array:
    return pa.array([NOON + timedelta(minutes=minute) for minute in minutes], pa.timestamp("us", "UTC"))


def configure(repo: Repository, old: str, new: str) -> None:
    """Change a line of the repository's feature_store.yaml."""
    assert old in YAML
    text = YAML.replace("project: perennial", f"project: {repo.name}").replace(old, new)
    if CONFIGURED not in text:
        text = text.replace("  expired: serve\n", "")  # Feast's own stores serve whatever they have.
    (repo.folder / "feature_repo" / "feature_store.yaml").write_text(text)


@pytest.mark.parametrize("store", [CONFIGURED, "type: sqlite\n  path: online.db"], ids=["ours", "feasts-own"])
def test_an_integer_beside_a_null_stays_exact(repo: Repository, store: str) -> None:
    configure(repo, CONFIGURED, store)
    exact = 2**53 + 1
    repo.write("stats", driver_id=["a", "b"], event_timestamp=at(0, 0), trips=[exact, None], rating=[0.5, None])
    repo.define()
    repository.apply_if_changed()
    repository.materialize(repo.name, NOON, NOON + HOUR)
    features = repository.online_features(repo.name, [{"driver_id": "a"}, {"driver_id": "b"}])
    assert [(row["trips"], row["rating"]) for row in features] == [(exact, 0.5), (None, None)]


def test_rows_go_online_in_batches_and_are_counted(repo: Repository) -> None:
    configure(repo, "online_write_batch_size: 5000", "online_write_batch_size: 7")
    names = [f"driver{number}" for number in range(20)]
    repo.write("stats", driver_id=names, event_timestamp=at(*range(20)), trips=list(range(20)), rating=[0.5] * 20)
    repo.define()
    repository.apply_if_changed()
    assert repository.materialize(repo.name, NOON, NOON + HOUR) == {f"{repo.name}_stats": 20}
    features = repository.online_features(repo.name, [{"driver_id": name} for name in names])
    assert [row["trips"] for row in features] == list(range(20))


def test_columns_that_the_table_calls_otherwise(repo: Repository) -> None:
    repo.write("stats", driver=["a"], at=at(0), trips=[1], rating=[0.5], written=at(1))
    repo.define(
        DEFINITIONS.replace(
            'LakeSource(table="{name}.stats")',
            'LakeSource(table="{name}.stats", timestamp_field="at", created_timestamp_column="written",'
            ' field_mapping={"driver": "driver_id"})',
        )
    )
    repository.apply_if_changed()
    repository.materialize(repo.name, NOON, NOON + HOUR)
    assert repository.online_features(repo.name, [{"driver_id": "a"}])[0]["trips"] == 1


def test_a_row_without_a_key_is_left_out(repo: Repository) -> None:
    repo.write("stats", driver_id=["a", None], event_timestamp=at(0, 0), trips=[1, 2], rating=[0.5, 0.5])
    repo.define()
    repository.apply_if_changed()
    assert repository.materialize(repo.name, NOON, NOON + HOUR) == {f"{repo.name}_stats": 1}


def test_a_late_correction_goes_online_but_not_past_newer_rows(
    repo: Repository,
) -> None:
    repo.write("stats", driver_id=["a", "b"], event_timestamp=at(0, 0), trips=[1, 1], rating=[0.5, 0.5])
    repo.write("stats", "2013-02", driver_id=["a"], event_timestamp=at(60), trips=[2], rating=[0.5])
    repo.define()
    repository.apply_if_changed()
    repository.materialize(repo.name, NOON, NOON + 2 * HOUR)
    repo.write("stats", driver_id=["a", "b"], event_timestamp=at(0, 0), trips=[10, 10], rating=[0.5, 0.5])
    repository.materialize(repo.name, NOON, NOON + HOUR)
    features = repository.online_features(repo.name, [{"driver_id": "a"}, {"driver_id": "b"}])
    assert [row["trips"] for row in features] == [2, 10]


def test_an_error_in_a_batch_is_raised_and_nothing_recorded(repo: Repository) -> None:
    repo.define()
    repository.apply_if_changed()
    with pytest.raises(BadFeatures, match=f"{repo.name}.stats"):
        repository.materialize(repo.name, NOON, NOON + HOUR)
    store = repository.open_store()
    assert store.get_feature_view(f"{repo.name}_stats").materialization_intervals == []


def test_plain_feast_materializes_by_the_same_engine(repo: Repository) -> None:
    exact = 2**53 + 1
    repo.write("stats", driver_id=["a", "b"], event_timestamp=at(0, 0), trips=[exact, None], rating=[0.5, None])
    repo.define()
    repository.apply_if_changed()
    store = repository.open_store()
    store.materialize(NOON, NOON + HOUR, feature_views=[f"{repo.name}_stats"])
    assert repository.online_features(repo.name, [{"driver_id": "a"}])[0]["trips"] == exact


def test_online_reads_say_when_each_views_values_became_known(repo: Repository) -> None:
    moment = NOON + timedelta(microseconds=1)
    times = pa.array([moment], pa.timestamp("us", "UTC"))
    repo.write("stats", driver_id=["a"], event_timestamp=times, trips=[1], rating=[0.5])
    repo.define()
    repository.apply_if_changed()
    repository.materialize(repo.name, NOON, NOON + HOUR)
    keys = [{"driver_id": "a"}, {"driver_id": "nobody"}]
    features = repository.online_features(repo.name, keys, event_timestamps=True)
    assert [row[f"{repo.name}_stats__event_timestamp"] for row in features] == [moment, None]
