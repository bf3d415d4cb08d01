"""Prepares the team's set-up: databases, bucket, Airflow's tables, and the logins of Airflow and MLflow."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import boto3

from perennial.embedded import postgres
from perennial.embedded.environment import mlflow_auth_config
from perennial.services import postgres as database
from perennial.services.credentials import login, write_private


def main() -> None:
    """Do what is missing; running it again changes nothing."""
    postgres.create_databases()
    objects = boto3.client("s3")
    if "perennial" not in [bucket["Name"] for bucket in objects.list_buckets()["Buckets"]]:
        objects.create_bucket(Bucket="perennial")
    home = Path(os.environ["AIRFLOW_HOME"])
    write_private(home / "passwords.json", json.dumps({login().user: login().password}))
    uri = database.url("mlflow").render_as_string(hide_password=False)
    write_private(home / "mlflow-auth.ini", mlflow_auth_config(uri))
    subprocess.run(["airflow", "db", "migrate"], check=True)


if __name__ == "__main__":
    main()
