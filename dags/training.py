"""Training set -> candidate -> gate -> (approval) -> promotion.

Runs when retraining is asked for, by a monitor or by the clock, or on demand with parameters. Several requests that
wait while one run is under way are answered by one run on the newest data. The gate judges champion and challenger on
data neither was trained on, with blocks of event time as its unit of certainty; its decision and numbers are logged in
MLflow and in the ledger whatever it decides. Where the use case, the run (`require_approval`) or a pause of automatic
promotion asks for it, a person decides in the web page or over REST before anything is promoted. Publishes the asset
`champion` on a promotion.
"""

from airflow.providers.standard.operators.hitl import HITLOperator
from airflow.sdk import dag, task

from perennial import UseCase
from perennial import orchestration as po


@task(multiple_outputs=False)
def plan() -> dict:
    """Check the parameters and decide on the window; skipped when the request is already answered."""
    from perennial.training import planning

    planned = planning.plan_training(po.of_run(), po.partition_key(), po.conf())
    if planned.skip:
        po.skip(planned.skip)
    return planned.model_dump(mode="json")


@task(multiple_outputs=False)
def build_training_set(planned: dict) -> dict:
    """Retrieve features as they were known at each prediction's moment; check and store them under their digest."""
    from perennial.training import planning

    return planning.build_training_set(po.of_run(), planning.TrainingPlan(**planned)).model_dump(mode="json")


@task
def fit(planned: dict, data: dict) -> int:
    """Fit the use case's estimator, log everything to MLflow, register the version as challenger."""
    from perennial.training import fit, planning, training_set

    return fit.fit_challenger(
        po.of_run(), planning.TrainingPlan(**planned), training_set.TrainingSet(**data), po.run_name()
    )


@task(multiple_outputs=False)
def judge(version: int) -> dict:
    """Judge champion and challenger on the same holdout; log the decision, rule by rule."""
    from perennial import gate

    return gate.evaluate(po.of_run(), version).model_dump(mode="json")


@task.branch
def ask_a_person(decision: dict) -> str:
    """A person is asked if policy, or a pause of automatic promotion, says so and there is something to promote."""
    from perennial import gate

    wanted = po.conf()["require_approval"]
    return "approve" if gate.needs_approval(po.of_run(), gate.GateDecision(**decision), wanted) else "settle"


def question(decision: dict) -> str:
    """The evidence as the person reads it."""
    from perennial import gate

    return gate.approval_question(po.of_run(), gate.GateDecision(**decision))


@task(trigger_rule="none_failed_min_one_success")
def settle(decision: dict) -> None:
    """Write the ledger's row and, on a promotion, move the alias `champion`; skipped at the end if it was none."""
    from perennial import gate

    use_case = po.of_run()
    settled = gate.finalize(use_case, gate.GateDecision(**decision), *po.answer())
    if not settled.promote:
        po.skip(settled.reason)
    po.announce(po.champion_asset(use_case), settled.model_dump(mode="json"))


def training(use_case: UseCase) -> None:
    @dag(
        schedule=po.by_asset(po.retraining_asset(use_case)),
        **po.pipeline(use_case, "training", __doc__, max_active_runs=1, user_defined_macros={"question": question}),
    )
    def pipeline() -> None:
        planned = plan()
        decision = judge(fit(planned, build_training_set(planned)))
        approve = HITLOperator(
            task_id="approve",
            subject=f"Promote a new champion of {use_case.name}?",
            body="{{ question(ti.xcom_pull(task_ids='judge')) }}",
            options=["Approve", "Reject"],
            params=po.reason(),
            defaults="Reject",
            response_timeout=use_case.gate.approval_timeout,
            doc_md="A person decides. The gate's evidence stands in the request; no answer in time is a no.",
        )
        settled = settle.override(outlets=[po.champion_asset(use_case)])(decision)
        ask_a_person(decision) >> [approve, settled]
        approve >> settled

    # Given earlier, each task would get a copy of its own.
    pipeline().params.update(po.form(use_case.params))


for use_case in po.use_cases():
    training(use_case)
