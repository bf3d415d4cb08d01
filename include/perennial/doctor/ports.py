"""Checks of the servers' ports: free, used by our own server, or by another program."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import psutil

from perennial.doctor.finding import Finding, failed, not_applicable, passed
from perennial.embedded import processes
from perennial.embedded.status import embeds_airflow, embeds_mlflow, embeds_serving
from perennial.settings import settings


def ports() -> Iterator[Finding]:
    """The ports of the servers on this machine."""
    where = settings()
    for name, own, host, port, process, setting in (
        ("MLflow", embeds_mlflow(where), where.mlflow_host, where.mlflow_port, "mlflow", "PERENNIAL_MLFLOW_PORT"),
        (
            *("Airflow", embeds_airflow(where), where.airflow_host, where.airflow_port),
            *("api-server", "PERENNIAL_AIRFLOW_PORT"),
        ),
        (
            *("Prediction server", embeds_serving(where), where.serving_host, where.serving_port),
            *("serving", "PERENNIAL_SERVING_PORT"),
        ),
    ):
        yield (
            _port(f"{name} port", host, port, process, setting)
            if own
            else not_applicable(f"{name} port", f"{name} runs elsewhere")
        )


def _port(name: str, host: str, port: int, process: str, setting: str) -> Finding:
    problem = _cannot_listen(host, port)
    if not problem:
        return passed(name, f"{host}:{port} is free")
    record = processes.Record.read(process)
    ours = {member.pid for member in record.family()} if record else set()
    listening = _listening(port)
    if ours & listening:
        return passed(name, f"{host}:{port} is used by our own {process}")
    if not listening:
        fix = f"`ss -ltnp` as root shows who uses port {port}; or choose another host or port ({setting})."
        return failed(name, f"{host}:{port} cannot be listened on: {problem}", fix)
    who = ", ".join(_described(pid) for pid in sorted(listening))
    return failed(name, f"{host}:{port} is used by another program: {who}", f"End it, or choose another by {setting}.")


def _cannot_listen(host: str, port: int) -> str:
    """Why nothing can listen there; empty if something can."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            return str(error.strerror or error)
    return ""


def _listening(port: int) -> set[int]:
    """The ids of the processes that listen on a port, as far as this user may see them."""
    try:
        connections = psutil.net_connections(kind="tcp")
    except (psutil.Error, OSError):
        return set()
    return {
        each.pid for each in connections if each.status == psutil.CONN_LISTEN and each.laddr.port == port and each.pid
    }


def _described(pid: int) -> str:
    """A process by name. Not its whole command line: that may contain passwords."""
    try:
        process = psutil.Process(pid)
        command = process.cmdline()
        name = process.name()
        if "-m" in command[:-1]:
            name = f"{name} -m {command[command.index('-m') + 1]}"
        elif len(command) > 1 and not command[1].startswith("-"):
            name = f"{name} {Path(command[1]).name}"
        return f"{name} (process {pid} of {process.username()})"
    except psutil.Error:
        return f"process {pid}"
