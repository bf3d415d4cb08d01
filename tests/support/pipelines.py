"""The pipelines of a use case as plain calls, a partition after another, as the tasks of its DAGs make them."""

from __future__ import annotations

from perennial import gate, scoring
from perennial.ingestion import compute, ingest, publish
from perennial.monitoring import monitor, probation
from perennial.partitions import Partition
from perennial.training import fit, planning
from perennial.training.search import searching
from perennial.use_case import UseCase


def run_features(use_case: UseCase, partition: Partition) -> None:
    """Bring one partition into the lake and the feature store."""
    ingest.ingest_partition(use_case, partition)
    compute.compute_features(use_case, partition)
    publish.publish_features(use_case, partition)


def run_features_until(use_case: UseCase, last: str) -> None:
    """Bring the partitions from the first one to `last` into the lake and the feature store."""
    for partition in use_case.first.through(use_case.partition(last)):
        run_features(use_case, partition)


def train(use_case: UseCase, made_by: str, **params: object) -> int:
    """A version trained on what the lake holds, by a run with these parameters; not evaluated yet."""
    plan = planning.plan_training(use_case, None, params)
    data = planning.build_training_set(use_case, plan)
    return fit.fit_challenger(use_case, searching.search_params(use_case, plan, data, made_by), data, made_by=made_by)


def run_loop_until(use_case: UseCase, last: str) -> None:
    """Bring the partitions up to `last` through all pipelines; train and decide wherever a monitor asks for it."""
    for partition in use_case.first.through(use_case.partition(last)):
        run_features(use_case, partition)
        scoring.score(use_case, partition)
        verdict = monitor.monitor(use_case, partition)
        if monitor.request_retraining(use_case, partition, verdict, made_by=f"monitor-{partition}"):
            decide(use_case, f"run-{partition}")
        probation.review(use_case, partition, made_by=f"monitor-{partition}")


def decide(use_case: UseCase, made_by: str, **params: object) -> gate.GateDecision:
    """Train a version, evaluate it, refit what has passed, and carry the decision out, as `training` does."""
    decision = gate.evaluate(use_case, train(use_case, made_by, **params))
    return gate.finalize(use_case, gate.refit_challenger(use_case, decision, None, made_by))
