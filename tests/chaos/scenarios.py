"""What happens in a scenario: the same in the undisturbed one and in the one that is harmed."""

from __future__ import annotations

from bad_batches import BAD_ROWS, FEW_ROWS, MANY_BAD_ROWS, NULL
from scenario_run import ScenarioRun


def in_short(scenario: ScenarioRun) -> None:
    """Two days of features, the first batch of which is refused and released; a model of them; a day that it predicts
    ahead, and scores."""
    refused_and_released(scenario, "2024-01-01")
    scenario.run("features", "2024-01-01", {"sends": FEW_ROWS})
    scenario.run("features", "2024-01-02", {"sends": BAD_ROWS})
    scenario.run("training", "2024-01-02", {"window_start": "2024-01-01", "window_end": "2024-01-02"})
    scenario.run("ahead", "2024-01-03")
    scenario.through(["2024-01-03"])


def to_the_first_model(scenario: ScenarioRun) -> None:
    """Three days, the second batch of which is refused and released; the monitor asks for the first model."""
    scenario.through(["2024-01-01"])
    refused_and_released(scenario, "2024-01-02")
    scenario.through(["2024-01-02"], sends=FEW_ROWS)
    scenario.through(["2024-01-03"])


def with_bad_rows(scenario: ScenarioRun, day: str, *later: str) -> None:
    """A day some of whose rows are refused, days after it, and then the way back for one of those rows: its features
    come into the lake, it is scored."""
    scenario.through([day], sends=BAD_ROWS)
    for each in later:
        scenario.run("features", each, {"sends": MANY_BAD_ROWS}, name="refused", ends_in="RejectedBatch")
        scenario.through([each])  # The source has corrected it.
    scenario.run("release", day, {"accept": [NULL]})
    scenario.run("discard", day)
    scenario.through([day], name="released", sends=BAD_ROWS)


def on_with_it(scenario: ScenarioRun) -> None:
    """After the first model: the same training again, by force, and a day with bad rows."""
    window = {"window_start": "2024-01-01", "window_end": "2024-01-03", "force": True}
    scenario.run("training", "2024-01-03", window, name="again")
    with_bad_rows(scenario, "2024-01-04")


def in_full(scenario: ScenarioRun, partitions: int) -> None:
    """From the first partition to the last, some of them with bad data; then a training that the clock asks for, and,
    once two versions have served, a rollback, a partition scored by the earlier one, and the end of the pause.

    Args:
        scenario: The run to do it in.
        partitions: Days, from 4 on; with fewer than 8 there may be no second version.
    """
    days = [f"2024-01-{day:02}" for day in range(1, partitions + 1)]
    to_the_first_model(scenario)
    with_bad_rows(scenario, *days[3:5])
    scenario.through(days[5:])
    scenario.run("ahead", f"2024-01-{partitions + 1:02}")
    if scenario.run("schedule", days[-1])["request_retraining"]:
        scenario.run("training", days[-1], name="scheduled")
    if scenario.promotions > 1:
        scenario.run("rollback", days[-1], {"action": "rollback", "reason": "It predicts nonsense.", "pause": "2w"})
        scenario.through([f"2024-01-{partitions + 1:02}"])
        scenario.run("resume", days[-1], {"action": "resume", "reason": "It was the data."})


def refused_and_released(scenario: ScenarioRun, day: str) -> None:
    """Its batch is refused as a whole, and a person lets it in: the next run of the partition brings it."""
    scenario.run("features", day, {"sends": FEW_ROWS}, name="refused", ends_in="RejectedBatch")
    scenario.run("release", day, {"accept": ["min_rows"]})
