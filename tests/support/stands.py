"""What stands for the images of a compose file that are not built from the checkout."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from composition import Composition, Stand


def postgres(running: Composition) -> Stand:
    """Debian's server, its cluster made as the image's entry point does."""
    installed = Path("/usr/lib/postgresql").glob("*/bin/postgres")
    programs = max((file.parent for file in installed), key=lambda folder: int(folder.parent.name), default=None)
    assert programs, "PostgreSQL's server is missing: apt-get install postgresql"
    variables, data = running.services["postgres"].environment, running.volume("postgres")
    user = "postgres" if os.geteuid() == 0 else None  # It refuses to run as root.
    password = data.with_name("password")
    password.write_text(variables["POSTGRES_PASSWORD"])
    for file in (data, password) if user else ():
        shutil.chown(file, user)
    options = f"-D {data} -U {variables['POSTGRES_USER']} --pwfile {password} -A scram-sha-256 --no-sync"
    subprocess.run([programs / "initdb", *options.split()], check=True, user=user, stdout=subprocess.DEVNULL)
    with (data / "postgresql.conf").open("a") as config:
        config.write("unix_socket_directories = ''\nlisten_addresses = '127.0.0.1'\n")
    environment = {
        "PGDATA": str(data),
        "PGHOST": "127.0.0.1",
        "PGPORT": str(running.free["postgres"]),
        "PATH": os.pathsep.join([str(programs), os.environ["PATH"]]),
    }
    return Stand(environment, user)


def redis(running: Composition) -> Stand:
    """Debian's server and client, on a port that the file's commands need not name."""
    programs = running.folder / "redis"
    programs.mkdir()
    for name, arguments in (
        ("redis-server", f"--bind 127.0.0.1 --dir {running.volume('redis')} --port"),
        ("redis-cli", "-p"),
    ):
        binary = shutil.which(name)
        assert binary, f"{name} is missing: apt-get install redis-server"
        (programs / name).write_text(f'#!/bin/sh\nexec {binary} {arguments} {running.free["redis"]} "$@"\n')
        (programs / name).chmod(0o755)
    return Stand({"PATH": os.pathsep.join([str(programs), os.environ["PATH"]])})


def object_store() -> Stand:
    """moto, which speaks S3."""
    serve = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "9000"]
    check = [sys.executable, "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:9000/moto-api/')"]
    return Stand(command=serve, healthcheck=check)
