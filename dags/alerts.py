"""The clock -> what is wrong with any use case, or with the installation -> incidents -> people.

One DAG for all use cases, every `PERENNIAL_ALERTS_EVERY` minutes; 0 turns it off. Each run reads records, Airflow, the
prediction server and the disks, compares them with the open incidents, and records what was opened, has changed or is
over; then it tells people of that, by the routes of `PERENNIAL_ALERT_ROUTES`. Running again records and tells nothing
again, and a run that failed is made up for by the next one.
"""

from datetime import timedelta

from airflow.sdk import dag, task

from perennial import orchestration as po


@task(multiple_outputs=False)
def detect() -> dict:
    """Compare what is wrong now with the open incidents of all use cases, and record what has changed."""
    from perennial.alerts import detection

    return detection.update().as_json()


@task(multiple_outputs=False)
def deliver() -> dict:
    """Tell people of what has changed; a route that fails is tried again in a later run, and delays no other."""
    return po.deliver_alerts()


def alerts_dag(every: timedelta) -> None:
    """Make the DAG."""

    @dag(schedule=po.on_interval(every), **po.alerts_arguments(__doc__))
    def pipeline() -> None:
        detect() >> deliver()

    pipeline()


if every := po.alerts_interval():
    alerts_dag(every)
