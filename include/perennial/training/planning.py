"""Plans a training run: its parameters, its window of partitions, and the requests that it handles."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from perennial import lake
from perennial.dag_names import FEATURES, TRAINING, dag_id
from perennial.errors import InvalidParams, NotEnoughData
from perennial.registry import ledger, retraining_requests
from perennial.training import training_set
from perennial.training.search.outcome import SearchOutcome
from perennial.training.training_set import TrainingSet
from perennial.use_case import TrainingParams, UseCase
from perennial.use_case.declarations import Declaration, problems


class TrainingPlan(Declaration):
    """What a training run is to do.

    Attributes:
        first, last: Partitions to train on, both included.
        params: The validated parameters, JSON-ready.
        requests: Ids of the requests that this run handles.
        skip: Why there is nothing to do; empty if there is.
        refit_of: Of a refit, the version that was evaluated in its place; None: the version is evaluated itself.
        search: What the search for its parameters found, which are in `params`; None: there was none.
    """

    first: str
    last: str
    params: dict[str, Any]
    requests: list[str]
    skip: str = ""
    refit_of: int | None = None
    search: SearchOutcome | None = None


def validate_params(use_case: UseCase, conf: Mapping[str, Any]) -> TrainingParams:
    """The run's parameters.

    Args:
        use_case: It declares them.
        conf: As they were entered.

    Raises:
        InvalidParams: an unknown key, a wrong type, or a value out of range.
    """
    try:
        return use_case.params(**conf)
    except ValidationError as error:
        names = ", ".join(use_case.params.model_fields)
        raise InvalidParams(
            f"Parameters of {dag_id(use_case.name, TRAINING)}: {problems(error)}.", f"Known parameters: {names}."
        ) from error


def plan_training(use_case: UseCase, partition: str | None, conf: Mapping[str, Any]) -> TrainingPlan:
    """Decide what to train on: the newest open request's data, or what the parameters say.

    A run for a request that a later run has already handled is skipped unless forced: several alarms while one
    retraining runs end in one retraining.

    Args:
        use_case: Whose model.
        partition: The partition of the request that started the run; None: a person or the schedule did.
        conf: The run's parameters as they were entered.

    Raises:
        InvalidParams: an unknown parameter, or a window that ends before it starts.
        InvalidPartition: a window's end is no partition of the use case.
        NotEnoughData: there are no examples yet.
    """
    params = validate_params(use_case, conf)
    open_requests = retraining_requests.open_requests(use_case)
    candidates = [row["partition"] for row in open_requests] + ([partition] if partition else [])
    if partition is None and not params.window_end:
        candidates.append(newest_partition(use_case))  # No request: a person or the schedule trains on all there is.
    last = use_case.partition(params.window_end or max(candidates))
    if params.window_start:
        first = use_case.partition(params.window_start)
    else:
        first = use_case.first
        if use_case.retraining.window is not None:
            window = list(use_case.first.through(last))[-use_case.retraining.window :]
            first = window[0]
    if first > last:
        raise InvalidParams(
            f"{dag_id(use_case.name, TRAINING)}: window_start {first} is after window_end {last}.",
            "Swap them, or leave one empty.",
        )
    by_request = partition is not None and not params.window_end
    skip = ""
    if by_request and not params.force and partition not in {row["partition"] for row in open_requests}:
        skip = f"The request of partition {partition} is already handled; run with force to train all the same."
    handled = [row["request_id"] for row in open_requests if row["partition"] <= last.key]
    return TrainingPlan(
        first=first.key, last=last.key, params=params.model_dump(mode="json"), requests=handled, skip=skip
    )


def plan_and_rows(planned: Mapping[str, Any], data: Mapping[str, Any]) -> tuple[TrainingPlan, TrainingSet]:
    """A run's plan and training set from what its tasks hand to each other.

    Args:
        planned: The plan as JSON.
        data: The training set as JSON.
    """
    return TrainingPlan(**planned), TrainingSet(**data)


def newest_partition(use_case: UseCase) -> str:
    """The newest partition that has examples.

    Raises:
        NotEnoughData: none has.
    """
    partitions = lake.partitions(use_case.tables.examples)
    if not partitions:
        raise NotEnoughData(
            f"Use case {use_case.name!r} has no examples in the lake yet.",
            f"Run {dag_id(use_case.name, FEATURES)} first.",
        )
    return partitions[-1]


def request_scheduled_retraining(use_case: UseCase, made_by: str) -> str | None:
    """Request retraining on all data there is, because it is scheduled.

    Args:
        use_case: Whose model.
        made_by: The DAG run that asks.

    Returns:
        The newest partition; None if retraining on it was requested lately, or if there is no champion yet: the monitor
        requests the first model.

    Raises:
        NotEnoughData: there are no examples yet.
    """
    if ledger.champion(use_case) is None:
        return None
    newest = newest_partition(use_case)
    evidence = {"schedule": use_case.retraining.schedule}
    is_created = retraining_requests.create(
        use_case, use_case.partition(newest), retraining_requests.SCHEDULE, evidence, made_by
    )
    return newest if is_created else None


def build_training_set(use_case: UseCase, planned: TrainingPlan) -> TrainingSet:
    """The training set of the plan's window; equal lake content gives the same file.

    Args:
        use_case: Whose examples and features.
        planned: Its window.

    Raises:
        NotEnoughData: a partition is missing, or too few labelled rows.
        BadFeatures: a check of the rows fails.
    """
    return training_set.build(use_case, use_case.partition(planned.first), use_case.partition(planned.last))
