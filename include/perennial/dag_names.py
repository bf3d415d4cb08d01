"""The names of the pipelines, of their DAGs and of their tasks.

A task or pipeline that more than one file names is named here; `tests/dags` checks that the DAG files agree.
"""

from __future__ import annotations

FEATURES = "features"
SCORING = "scoring"
MONITORING = "monitoring"
TRAINING = "training"
CHAMPION = "champion"
#: Only use cases with `retraining.schedule` have it.
SCHEDULE = "schedule"
#: Only use cases with `refresh` have it.
REFRESH = "refresh"
#: Scheduled where the use case declares a `rollout`; a person may run it anywhere.
ROLLOUT = "rollout"
#: Only use cases with `examples.ahead` have it.
AHEAD = "ahead"

#: The DAG that looks for incidents; one for all use cases, of none.
ALERTS = "alerts"

#: The loop, in the order in which a partition goes through it.
LOOP = (FEATURES, SCORING, MONITORING, TRAINING)
#: Those whose runs need no partition.
ON_DEMAND = (TRAINING, CHAMPION, ROLLOUT)
#: Those that every use case has.
ALL = tuple(dict.fromkeys((*LOOP, *ON_DEMAND)))

#: Task of `monitoring` and of `schedule`: skipped when there is no reason to retrain.
REQUEST_RETRAINING = "request_retraining"
#: Tasks of `training`: register the challenger, compare it with the champion, fit it again on the whole window, ask a
#: person, promote or reject.
FIT = "fit"
EVALUATE = "evaluate"
REFIT = "refit"
NEEDS_APPROVAL = "needs_approval"
APPROVE = "approve"
FINALIZE = "finalize"

#: Key under which a task leaves why it refused what a person asked for: such a run is no failure of the pipeline.
REFUSED = "refused"

#: Airflow's state of a task that waits for a person's response.
AWAITING_INPUT = "awaiting_input"


def dag_id(use_case: str, pipeline: str) -> str:
    """The id of the DAG of a use case's pipeline.

    Args:
        use_case: The use case's name.
        pipeline: One of the pipelines above.
    """
    return f"{use_case}.{pipeline}"


def use_case_name(dag_id: str) -> str:
    """The name of the use case that a DAG belongs to."""
    return dag_id.partition(".")[0]
