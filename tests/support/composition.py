"""The services of a compose file as processes of this machine: as much of an engine as a test of the file needs.

Each service runs its own command in its own environment and folder, and waits for what it depends on by the other's own
health check. What containers have and processes lack is put in place by rewriting words: names of hosts and their ports
become free ports of loopback, and the project's place in the image becomes the service's folder.
"""

from __future__ import annotations

import compileall
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from compose_file import Condition, Service
from machines import free_port

#: The image that is built from the checkout, and the project's place in it.
BUILT, PROJECT = "perennial:local", "/opt/perennial"


@dataclass
class Process:
    """What stands for a container."""

    popen: subprocess.Popen[bytes]
    log: Path
    healthy: bool = False
    asked: float = 0.0  #: When its health check was run last, on the monotonic clock.


@dataclass(frozen=True)
class Stand:
    """What stands for an image that is not built from the checkout. A command or check replaces the file's."""

    environment: dict[str, str] = field(default_factory=dict)
    user: str | None = None
    command: list[str] | None = None
    healthcheck: list[str] | None = None


class Composition:
    """Services that are started, asked for their health and stopped together.

    Args:
        services: What to run.
        folder: Holds the image, each service's folder, the volumes and the logs.
        checkout: What the image is built from.
        listens: The port on which a service listens inside its container.

    `stands` says what runs instead of an image that is not built from the checkout, or what else a service gets.
    """

    def __init__(
        self,
        services: dict[str, Service],
        folder: Path,
        checkout: Path,
        listens: Mapping[str, int],
    ) -> None:
        self.services = services
        self.folder = folder
        self.stands: dict[str, Stand] = {}
        self.free = {name: free_port() for name in listens}
        self._image = folder / "image"
        self._listens = dict(listens)
        self._processes: dict[str, Process] = {}
        (folder / "logs").mkdir()
        ignored = [line.removeprefix("**/") for line in (checkout / ".dockerignore").read_text().split()]
        shutil.copytree(checkout, self._image, ignore=shutil.ignore_patterns(*ignored))
        compileall.compile_dir(self._image, quiet=1)

    def address(self, name: str) -> str:
        """Where a service listens on this machine."""
        return f"127.0.0.1:{self.free[name]}"

    def volume(self, name: str) -> Path:
        """The folder that stands for a named volume."""
        volume = self.folder / "volumes" / name
        volume.mkdir(parents=True, exist_ok=True)
        return volume

    def up(self, patience: float = 400) -> None:
        """Start all services, each when what it depends on is as it asks, and wait until all are healthy."""
        deadline = time.monotonic() + patience
        while set(self.services) - set(self._processes) or not all(map(self._is_healthy, self.services)):
            for service in self.services.values():
                if service.name not in self._processes and all(
                    self._is_met(other, condition) for other, condition in service.depends_on.items()
                ):
                    self._start(service)
            assert time.monotonic() < deadline, self.report()
            time.sleep(0.2)

    def down(self, patience: float = 10) -> None:
        """Stop all services, those first that no other depends on; kill what takes longer, as compose does."""
        while self._processes:
            needed = {other for name in self._processes for other in self.services[name].depends_on}
            free = {name: self._processes.pop(name) for name in set(self._processes) - needed}
            leaders = {process.popen.pid for process in free.values()}
            members = [member for member in psutil.process_iter() if session(member) in leaders]
            for process in free.values():
                process.popen.terminate()
            deadline = time.monotonic() + patience
            while time.monotonic() < deadline and any(process.popen.poll() is None for process in free.values()):
                time.sleep(0.1)
            for member in members:
                with suppress(psutil.NoSuchProcess):
                    member.kill()
            for process in free.values():
                process.popen.wait()

    def run(self, name: str, *command: str) -> str:
        """What `command` prints in the container of a service, as `docker compose exec` would."""
        done = subprocess.run(command, **self._place(self.services[name]), capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def log(self, name: str) -> str:
        return self._processes[name].log.read_text(errors="replace")

    def leaders(self) -> set[int]:
        """The processes that lead the services' sessions."""
        return {process.popen.pid for process in self._processes.values()}

    def report(self) -> str:
        """The end of every log, for a failed test."""
        tails = [f"== {name}\n" + "\n".join(self.log(name).splitlines()[-25:]) for name in self._processes]
        return "\n".join([*tails, f"not started: {sorted(set(self.services) - set(self._processes))}"])

    def _is_met(self, name: str, condition: Condition) -> bool:
        if name not in self._processes:
            return False
        if condition == "service_completed_successfully":
            return self._has_completed(name)
        return condition == "service_started" or self._is_healthy(name)

    def _has_completed(self, name: str) -> bool:
        code = self._processes[name].popen.poll()
        assert code in (None, 0), f"{name} ended with {code}\n{self.log(name)}"
        return code == 0

    def _is_healthy(self, name: str) -> bool:
        service, process = self.services[name], self._processes.get(name)
        if process is None or process.healthy:
            return process is not None
        if not service.healthcheck:
            return self._has_completed(name)
        assert process.popen.poll() is None, f"{name} has ended\n{self.log(name)}"
        if time.monotonic() - process.asked < 2:  # Some checks cost a second of computing, which the service may want.
            return False
        check = self._stand(name).healthcheck or service.healthcheck
        try:
            done = subprocess.run(self._local(check, service), **self._place(service), capture_output=True, timeout=60)
            process.healthy = done.returncode == 0
        except subprocess.TimeoutExpired:
            process.healthy = False
        process.asked = time.monotonic()
        return process.healthy

    def _start(self, service: Service) -> None:
        command = self._stand(service.name).command or service.command
        log = self.folder / "logs" / f"{service.name}.log"
        with log.open("wb") as output:
            popen = subprocess.Popen(
                self._local(command, service),
                **self._place(service),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._processes[service.name] = Process(popen, log)

    def _place(self, service: Service) -> dict[str, Any]:
        """Working directory, environment and user: nothing of this process's own environment but what an image has."""
        stand = self._stand(service.name)
        copy = self.folder / "containers" / service.name
        if not copy.exists():
            self._make(copy, service)
        base = {
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
            "HOME": str(copy),
            "HOSTNAME": socket.gethostname(),
            "LANG": "C.UTF-8",
        }
        environment = base | service.environment | stand.environment
        return {
            "cwd": copy,
            "env": {name: self._rewritten(str(value), service) for name, value in environment.items()},
            "user": stand.user,
        }

    def _stand(self, name: str) -> Stand:
        return self.stands.get(name, Stand())

    def _make(self, copy: Path, service: Service) -> None:
        """The container's own files: what the image holds, and what is mounted into it."""
        copy.mkdir(parents=True)
        if service.image == BUILT:
            for part in self._image.iterdir():
                (copy / part.name).symlink_to(part)
        for mount in service.volumes:
            volume, target = mount.split(":")[:2]
            if target.startswith(PROJECT):
                Path(self._rewritten(target, service)).symlink_to(self.volume(volume))

    def _local(self, words: list[str], service: Service) -> list[str]:
        """A command, its own port and `any address` replaced too."""
        own = self._listens.get(service.name)
        local = [self._rewritten(word, service).replace("0.0.0.0", "127.0.0.1") for word in words]  # noqa: S104
        return [re.sub(rf"(?<!\d){own}(?!\d)", str(self.free[service.name]), word) if own else word for word in local]

    def _rewritten(self, text: str, service: Service) -> str:
        for name, port in self._listens.items():
            published = [entry.rpartition(":")[0] for entry in self.services[name].ports]
            for address in (f"{name}:{port}", *published):
                text = text.replace(address, self.address(name))
        return text.replace(PROJECT, str(self.folder / "containers" / service.name))


def session(process: psutil.Process) -> int:
    """The process that leads the session of this one; 0 if it is over."""
    try:
        return os.getsid(process.pid) if process.status() != psutil.STATUS_ZOMBIE else 0
    except (ProcessLookupError, PermissionError, psutil.NoSuchProcess):
        return 0
