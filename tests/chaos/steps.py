"""Every task of every pipeline as a function: what the task's body in `dags/` does, without Airflow.

A step takes the use case, the partition, who the run is, and the results of the earlier steps of its run, as Airflow's
XComs would hand them over: JSON in, JSON out. Runs only in a forked child (see `worker`).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from perennial.partitions import Partition
from perennial.use_case import UseCase

Results = dict[str, Any]
Step = Callable[[UseCase, Partition, str, Results], Any]


def ingest(use_case: UseCase, partition: Partition, run: str, results: Results) -> Any:
    import bad_batches

    from perennial.ingestion import ingest

    bad_batches.make_source_send(use_case, results["conf"].get("sends", ""))
    return ingest.ingest_partition(use_case, partition)


def compute(use_case: UseCase, partition: Partition, run: str, results: Results) -> Any:
    from perennial.ingestion import compute

    return compute.compute_features(use_case, partition)


def publish(use_case: UseCase, partition: Partition, run: str, results: Results) -> Any:
    from perennial.ingestion import publish

    return publish.publish_features(use_case, partition)


def parity(use_case: UseCase, partition: Partition, run: str, results: Results) -> Any:
    from perennial.feature_store.parity import check_and_record

    return check_and_record(use_case, partition)


def score(use_case: UseCase, partition: Partition, run: str, results: Results) -> Any:
    from perennial import scoring

    return scoring.score(use_case, partition)


def predict_ahead(use_case: UseCase, partition: Partition, run: str, results: Results) -> Any:
    from datetime import timedelta

    from perennial.scoring_ahead import predicting

    # The clock stands still: an attempt after a kill has the same examples to predict.
    return predicting.predict_ahead(use_case, lambda: partition.start + timedelta(hours=12, minutes=30))


def monitor(use_case: UseCase, partition: Partition, run: str, results: Results) -> Any:
    from perennial.monitoring import monitor as monitoring

    return monitoring.monitor(use_case, partition).model_dump(mode="json")


def request_retraining(use_case: UseCase, partition: Partition, run: str, results: Results) -> Any:
    from perennial.monitoring import monitor as monitoring

    return monitoring.request_retraining(use_case, partition, monitoring.Verdict(**results["monitor"]), run)


def revisit(use_case: UseCase, partition: Partition, run: str, results: Results) -> Any:
    from perennial.monitoring import revisions

    return revisions.revisit_and_request(use_case, partition, run) is not None


def request_by_schedule(use_case: UseCase, partition: Partition, run: str, results: Results) -> Any:
    from perennial.training import planning

    return planning.request_scheduled_retraining(use_case, run)


def plan(use_case: UseCase, partition: Partition, run: str, results: Results) -> Any:
    from perennial.training import planning

    return planning.plan_training(use_case, partition.key, results["conf"]).model_dump(mode="json")


def build_training_set(use_case: UseCase, partition: Partition, run: str, results: Results) -> Any:
    from perennial.training import planning

    return planning.build_training_set(use_case, planning.TrainingPlan(**results["plan"])).model_dump(mode="json")


def search(use_case: UseCase, partition: Partition, run: str, results: Results) -> Any:
    from perennial.training import planning, training_set
    from perennial.training.search import searching

    planned, data = planning.TrainingPlan(**results["plan"]), training_set.TrainingSet(**results["build_training_set"])
    return searching.search_params(use_case, planned, data, run).model_dump(mode="json")


def fit(use_case: UseCase, partition: Partition, run: str, results: Results) -> Any:
    from perennial.training import fit as training
    from perennial.training import planning, training_set

    data = training_set.TrainingSet(**results["build_training_set"])
    return training.fit_challenger(use_case, planning.TrainingPlan(**results["search"]), data, run)


def evaluate(use_case: UseCase, partition: Partition, run: str, results: Results) -> Any:
    from perennial import gate

    return gate.evaluate(use_case, results["fit"]).model_dump(mode="json")


def refit(use_case: UseCase, partition: Partition, run: str, results: Results) -> Any:
    """On, as by default: the use case of the tests has it off."""
    from perennial import gate

    refitting = use_case.model_copy(update={"gate": use_case.gate.model_copy(update={"refit": True})})
    judged = gate.GateDecision(**results["evaluate"])
    return gate.refit_challenger(refitting, judged, None, run).model_dump(mode="json")


def finalize(use_case: UseCase, partition: Partition, run: str, results: Results) -> Any:
    from perennial import gate

    return gate.finalize(use_case, gate.GateDecision(**results["refit"])).model_dump(mode="json")


def advance(use_case: UseCase, partition: Partition, run: str, results: Results) -> Any:
    from perennial.gate import rollout, rollout_request

    request = rollout_request.parse(use_case.name, results["conf"])
    return rollout.advance(use_case, request, made_by=run, actor="ann").model_dump(mode="json")


def roll_back(use_case: UseCase, partition: Partition, run: str, results: Results) -> Any:
    from perennial.gate import rollback, rollback_plan

    request = rollback_plan.parse_request(use_case.name, results["conf"])
    return rollback.roll_back(use_case, request, made_by=run, actor="ann").as_json()


def resume(use_case: UseCase, partition: Partition, run: str, results: Results) -> Any:
    from perennial.gate import rollback, rollback_plan

    request = rollback_plan.parse_request(use_case.name, results["conf"])
    return rollback.resume(use_case, request, made_by=run, actor="ann").as_json()


def release(use_case: UseCase, partition: Partition, run: str, results: Results) -> Any:
    """No task but a person's command: what waits in quarantine may enter, as far as it is accepted."""
    from perennial.quarantine import review

    accept = results["conf"]["accept"]
    outcome = review.release(use_case, partition, actor="ann", reason="The meter was silent.", accept=accept)
    return {
        "released": [item.item for item in outcome.decided],
        "refused": [item.item for item, _ in outcome.still_broken],
    }


def discard(use_case: UseCase, partition: Partition, run: str, results: Results) -> Any:
    """The same: what still waits is wrong."""
    from perennial import quarantine
    from perennial.quarantine import ItemState, review

    states = (ItemState.PENDING, ItemState.DISCARDED)
    named = [item.item for item in quarantine.list_items(use_case, partition, states)]
    outcome = review.discard(use_case, partition, actor="ann", reason="The meter was broken.", named=named)
    return [item.item for item in outcome.decided]


def contents(use_case: UseCase, partition: Partition, run: str, results: Results) -> Any:
    """No task: what all stores hold, for the comparison."""
    import state

    return state.contents(use_case)


def refresh(use_case: UseCase, partition: Partition, run: str, results: Results) -> Any:
    from perennial.ingestion import refresh as refreshing

    return refreshing.refresh_features(use_case, partition.start + timedelta(hours=results["conf"]["hours"]))


def push(use_case: UseCase, partition: Partition, run: str, results: Results) -> Any:
    """No task: a program pushes rows of a meter, one an hour of the day."""
    import perennial

    meter, hours = results["conf"]["meter"], results["conf"]["hours"]
    rows = [
        {
            "site": "site-0",
            "meter": meter,
            "meter_last": float(hour),
            "meter_mean_24h": None,
            "event_timestamp": partition.start + timedelta(hours=hour),
        }
        for hour in range(hours)
    ]
    return perennial.push(use_case.name, "meter_history", rows)


def stored(use_case: UseCase, partition: Partition, run: str, results: Results) -> Any:
    """No task: the rows of raw and feature table in the lake, and what is online at the partition's end, by meter."""
    from perennial import lake
    from perennial.feature_store import repository

    lake_rows = {name: lake.read(use_case.tables[name]).to_pylist() for name in ("readings", "meter_history")}
    keys = [
        dict(key) for key in {(("site", row["site"]), ("meter", row["meter"])) for row in lake_rows["meter_history"]}
    ]
    online = repository.online_features(use_case.feature_service, keys, at=partition.end)
    return {name: [{key: str(row[key]) for key in row} for row in rows] for name, rows in lake_rows.items()} | {
        "online": {key["meter"]: str(answer["meter_last"]) for key, answer in zip(keys, online, strict=True)}
    }


def review_probation(use_case: UseCase, partition: Partition, run: str, results: Results) -> Any:
    from perennial.monitoring import probation

    return probation.review(use_case, partition, run).model_dump(mode="json")


def detect(use_case: UseCase, partition: Partition, run: str, results: Results) -> Any:
    from perennial.alerts import detection

    return detection.update(use_case.name).as_json()


def deliver(use_case: UseCase, partition: Partition, run: str, results: Results) -> Any:
    from perennial.alerts import delivery

    return delivery.deliver(lambda route, message: "")


def _by_name(*steps: Step) -> dict[str, Step]:
    return {step.__name__: step for step in steps}


#: The tasks of each pipeline by name, in the order in which they run.
PIPELINES: dict[str, dict[str, Step]] = {
    "features": _by_name(ingest, compute, publish, parity),
    "ahead": _by_name(predict_ahead),
    "scoring": _by_name(score),
    "monitoring": _by_name(monitor, request_retraining, revisit) | {"probation": review_probation},
    "refresh": _by_name(refresh),
    "schedule": {"request_retraining": request_by_schedule},
    "training": _by_name(plan, build_training_set, search, fit, evaluate, refit, finalize),
    "rollout": _by_name(advance),
    "alerts": _by_name(detect, deliver),
    # Two kinds of runs of the DAG `champion`.
    "rollback": _by_name(roll_back),
    "resume": _by_name(resume),
    # Commands of a person.
    "release": _by_name(release),
    "discard": _by_name(discard),
    # A program of somebody else's.
    "push": _by_name(push),
    # For the comparison.
    "stores": _by_name(contents, stored),
}
#: Steps that are no task of a DAG.
NO_TASKS = {"release", "discard", "contents", "push", "stored"}
