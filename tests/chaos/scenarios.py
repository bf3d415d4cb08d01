"""What happens in a life: the same in the undisturbed one and in the one that is harmed."""

from __future__ import annotations

from life import Life
from spoiled import BAD_ROWS, FEW_ROWS, MANY_BAD_ROWS, NULL


def in_short(life: Life) -> None:
    """Two days of features, the first batch of which is refused and released; a model of them; a day that it scores."""
    refused_and_released(life, "2024-01-01")
    life.run("features", "2024-01-01", {"sends": FEW_ROWS})
    life.run("features", "2024-01-02", {"sends": BAD_ROWS})
    life.run("training", "2024-01-02", {"window_start": "2024-01-01", "window_end": "2024-01-02"})
    life.through(["2024-01-03"])


def to_the_first_model(life: Life) -> None:
    """Three days, the second batch of which is refused and released; the monitor asks for the first model."""
    life.through(["2024-01-01"])
    refused_and_released(life, "2024-01-02")
    life.through(["2024-01-02"], sends=FEW_ROWS)
    life.through(["2024-01-03"])


def with_bad_rows(life: Life, day: str, *later: str) -> None:
    """A day some of whose rows are refused, days after it, and then the way back for one of those rows: its features
    come into the lake, it is scored."""
    life.through([day], sends=BAD_ROWS)
    for each in later:
        life.run("features", each, {"sends": MANY_BAD_ROWS}, name="refused", ends_in="RejectedBatch")
        life.through([each])  # Whoever sent it has mended it.
    life.run("release", day, {"accept": [NULL]})
    life.run("discard", day)
    life.through([day], name="released", sends=BAD_ROWS)


def on_with_it(life: Life) -> None:
    """After the first model: the same training again, by force, and a day with bad rows."""
    window = {"window_start": "2024-01-01", "window_end": "2024-01-03", "force": True}
    life.run("training", "2024-01-03", window, name="again")
    with_bad_rows(life, "2024-01-04")


def in_full(life: Life, partitions: int) -> None:
    """From the first partition to the last, some of them with bad data; then a training that the clock asks for, and,
    once two versions have served, a rollback, a partition scored by the earlier one, and the end of the pause.

    Args:
        life: Who lives it.
        partitions: Days, from 4 on; with fewer than 8 there may be no second version.
    """
    days = [f"2024-01-{day:02}" for day in range(1, partitions + 1)]
    to_the_first_model(life)
    with_bad_rows(life, *days[3:5])
    life.through(days[5:])
    if life.run("schedule", days[-1])["request_retraining"]:
        life.run("training", days[-1], name="scheduled")
    if life.promotions > 1:
        life.run("rollback", days[-1], {"action": "rollback", "reason": "It predicts nonsense.", "pause": "2w"})
        life.through([f"2024-01-{partitions + 1:02}"])
        life.run("resume", days[-1], {"action": "resume", "reason": "It was the data."})


def refused_and_released(life: Life, day: str) -> None:
    """Its batch is refused as a whole, and a person lets it in: the next run of the partition brings it."""
    life.run("features", day, {"sends": FEW_ROWS}, name="refused", ends_in="RejectedBatch")
    life.run("release", day, {"accept": ["min_rows"]})
