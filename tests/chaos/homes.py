"""A home of its own for one scenario of a use case: PostgreSQL, MLflow on a free port of loopback, lake, online store.

The lake, the training sets and MLflow's artifacts are files, or lie on an object store: moto speaks S3.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx

ROOT = Path(__file__).parents[2]
_SERVER = [sys.executable, "-m", "perennial.embedded.mlflow_server", "--host", "127.0.0.1", "--workers", "1"]


class Home:
    """The servers run from `start` to `stop`; the folder goes with `stop`.

    Attributes:
        disk: Holds lake, training sets and online store; with `on_s3` the online store alone.
        is_small: Whether `disk` is a file system of its own, of 24 MiB, that can be filled.
    """

    def __init__(self, small_disk: bool = False, on_s3: bool = False) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="perennial-chaos-"))
        self.port = _free_port()
        self.disk = self.folder / "disk"
        self.disk.mkdir()
        self.is_small = small_disk and _mount(self.disk)
        self.env = {
            "PERENNIAL_HOME": str(self.folder),
            "PERENNIAL_PROJECT": str(self.folder / "project"),
            "PERENNIAL_MLFLOW_URI": f"http://127.0.0.1:{self.port}",
            "PERENNIAL_WAREHOUSE": str(self.disk / "lake"),
            "PERENNIAL_TRAINING_SETS": str(self.disk / "training_sets"),
            "PERENNIAL_ONLINE_STORE": f"sqlite:///{self.disk / 'online.db'}?patience=2",
        }
        self._artifacts = str(self.folder / "mlflow")
        self._s3_address = ""
        if on_s3:
            self._s3_address = f"http://127.0.0.1:{_free_port()}"
            self._artifacts = "s3://bucket/mlflow"
            self.env |= {
                "AWS_ACCESS_KEY_ID": "test",
                "AWS_SECRET_ACCESS_KEY": "test",
                "AWS_DEFAULT_REGION": "us-east-1",
                "AWS_EC2_METADATA_DISABLED": "true",
                "AWS_ENDPOINT_URL_S3": self._s3_address,
                "PERENNIAL_CATALOG": json.dumps({"s3.endpoint": self._s3_address, "s3.region": "us-east-1"}),
                "PERENNIAL_WAREHOUSE": "s3://bucket/lake",
                "PERENNIAL_TRAINING_SETS": "s3://bucket/training_sets",
            }
        self._s3: subprocess.Popen[bytes] | None = None
        self._mlflow: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start PostgreSQL and copy the project; start the others without waiting for them."""
        if self._s3_address:
            port = self._s3_address.rsplit(":", 1)[1]
            self._s3 = subprocess.Popen(
                [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", port],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        self.start_postgres()
        project = self.folder / "project"
        shutil.copytree(ROOT / "feature_repo", project / "feature_repo", ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "tests/second_use_case/feature_repo/energy.py", project / "feature_repo")
        self.start_mlflow()

    def start_mlflow(self) -> None:
        command = [
            *(*_SERVER, "--port", str(self.port)),
            *("--backend-store-uri", f"postgresql://postgres@/mlflow?host={self.folder}/postgres"),
            *("--artifacts-destination", self._artifacts),
        ]
        settled = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        settled |= {name: value for name, value in self.env.items() if name.startswith("AWS_")}
        with (self.folder / "mlflow.log").open("ab") as log:
            self._mlflow = subprocess.Popen(command, stdout=log, stderr=log, env=os.environ | settled)

    def wait(self) -> None:
        """Until MLflow, and the object store, answer."""
        deadline = time.monotonic() + 600  # Ten seconds on a quiet machine.
        while not _answers(f"{self.env['PERENNIAL_MLFLOW_URI']}/health"):
            assert self._mlflow is not None
            assert self._mlflow.poll() is None, (self.folder / "mlflow.log").read_text()
            assert time.monotonic() < deadline, "MLflow did not start in ten minutes"
            time.sleep(0.1)
        while self._s3_address and not _answers(f"{self._s3_address}/bucket"):
            assert self._s3 is not None
            assert self._s3.poll() is None
            assert time.monotonic() < deadline, "moto did not start in ten minutes"
            with contextlib.suppress(httpx.HTTPError):
                httpx.put(f"{self._s3_address}/bucket", timeout=10)

    def kill_mlflow(self) -> None:
        """As if it had crashed."""
        assert self._mlflow is not None
        self._mlflow.kill()
        self._mlflow.wait()

    @property
    def mlflow_pid(self) -> int:
        assert self._mlflow is not None
        return self._mlflow.pid

    @property
    def postgres_pid(self) -> int:
        return int((self.folder / "postgres/postmaster.pid").read_text().splitlines()[0])

    def wait_for_postgres_to_end(self) -> None:
        deadline = time.monotonic() + 30
        while (self.folder / "postgres/postmaster.pid").exists():
            assert time.monotonic() < deadline, "PostgreSQL did not end in half a minute"
            time.sleep(0.02)

    def start_postgres(self) -> None:
        subprocess.run(
            [
                *(sys.executable, "-c"),
                "from perennial.embedded import postgres; postgres.start(); postgres.create_databases()",
            ],
            env=os.environ | self.env,
            check=True,
        )

    def stop(self) -> None:
        for server in (self._mlflow, self._s3):
            if server is not None:
                server.terminate()
                server.wait(timeout=30)
        if (self.folder / "postgres/postmaster.pid").exists():
            os.kill(self.postgres_pid, signal.SIGINT)
            self.wait_for_postgres_to_end()
        if self.is_small:
            subprocess.run(["umount", "--lazy", str(self.disk)], check=True)
        shutil.rmtree(self.folder, ignore_errors=True)


def _answers(address: str) -> bool:
    try:
        return httpx.get(address, timeout=2).is_success
    except httpx.HTTPError:
        return False


def _mount(folder: Path) -> bool:
    """Mount a small file system in memory there; whether this user may."""
    command = ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(folder)]
    return os.geteuid() == 0 and subprocess.run(command, capture_output=True).returncode == 0


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]
