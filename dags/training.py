"""Training set -> (search) -> challenger -> gate -> refit -> (approval) -> promotion.

Runs on a request for retraining, or on demand with parameters; one run handles all requests that are open by then.
The gate's numbers are in MLflow and in the ledger, whatever it decides. A person decides where the use case, the run
(`require_approval`) or a pause of automatic promotion asks for it. Publishes the asset `champion` on a promotion.
"""

from airflow.sdk import dag, task

from perennial import UseCase, gate, training
from perennial import orchestration as po
from perennial.dag_names import TRAINING


@task(multiple_outputs=False)
def plan() -> dict:
    """Check the parameters and decide on the window; skipped when the request is already handled."""
    planned = training.plan_training(po.use_case_of_run(), po.partition_key(), po.params_of_run())
    if planned.skip:
        po.skip(planned.skip)
    return planned.model_dump(mode="json")


@task(multiple_outputs=False)
def build_training_set(planned: dict) -> dict:
    """Retrieve features as they were known at each prediction's moment; check and store them under their digest."""
    return training.build_training_set(po.use_case_of_run(), training.TrainingPlan(**planned)).model_dump(mode="json")


@task(multiple_outputs=False)
def search(planned: dict, data: dict) -> dict:
    """Try sets of parameters on folds of the rows to fit on; put those that are significantly better into the plan."""
    recipe = training.plan_and_rows(planned, data)
    return training.search_params(po.use_case_of_run(), *recipe, po.run_reference()).model_dump(mode="json")


@task
def fit(planned: dict, data: dict) -> int:
    """Fit the use case's estimator, log everything to MLflow, register the version as challenger."""
    return training.fit_challenger(po.use_case_of_run(), *training.plan_and_rows(planned, data), po.run_reference())


@task(multiple_outputs=False)
def evaluate(version: int) -> dict:
    """Compare champion and challenger on the same holdout; log the decision, rule by rule."""
    return gate.evaluate(po.use_case_of_run(), version).model_dump(mode="json")


@task(multiple_outputs=False)
def refit(decision: dict) -> dict:
    """Fit what has passed again on the whole window; if that version agrees with it, it is the one that may serve."""
    judged, policy, run = gate.GateDecision(**decision), po.params_of_run()["require_approval"], po.run_reference()
    return gate.refit_challenger(po.use_case_of_run(), judged, policy, run).model_dump(mode="json")


@task(trigger_rule="none_failed_min_one_success")
def finalize(decision: dict) -> None:
    """Write the ledger's entry and, on a promotion, move the alias `champion`; skipped at the end without one."""
    final = gate.finalize(po.use_case_of_run(), gate.GateDecision(**decision), *po.approval_response())
    po.emit_promotion(final.promote, final.model_dump(mode="json"))


def training_dag(use_case: UseCase) -> None:
    """Make the DAG."""
    arguments = po.dag_arguments(use_case, TRAINING, __doc__, max_active_runs=1, user_defined_macros=po.APPROVAL_MACROS)

    @dag(schedule=po.on_asset(po.retraining_asset(use_case)), **arguments)
    def pipeline() -> None:
        planned = plan()
        data = build_training_set(planned)
        decision = refit(evaluate(fit(search(planned, data) if use_case.search else planned, data)))
        approve, final = po.approval_task(use_case), finalize.override(outlets=[po.champion_asset(use_case)])(decision)
        po.needs_approval(decision) >> [approve, final]
        approve >> final

    po.add_form(pipeline(), use_case.params)


for use_case in po.use_cases():
    training_dag(use_case)
