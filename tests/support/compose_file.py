"""A compose file, read as compose reads it: YAML's anchors, `${NAME:?why}`, `$$`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

Condition = Literal["service_started", "service_healthy", "service_completed_successfully"]
_VARIABLE = re.compile(r"\$(?:(?P<dollar>\$)|\{(?P<name>\w+)(?::\?(?P<why>[^}]*))?\})")


class Unset(Exception):
    """A variable that the file insists on is not set, or empty."""


@dataclass(frozen=True)
class Service:
    """One service as the file describes it."""

    name: str
    image: str
    command: list[str]
    healthcheck: list[str]
    environment: dict[str, str]
    depends_on: dict[str, Condition]
    ports: list[str]
    volumes: list[str]


def read(file: Path, variables: Mapping[str, str]) -> dict[str, Service]:
    """The services of a compose file, by name.

    Raises:
        Unset: the file insists on a variable that has no value; the message is the file's.
    """
    services = yaml.safe_load(file.read_text())["services"]
    return {name: _service(name, _interpolated(content, variables)) for name, content in services.items()}


def _service(name: str, content: dict[str, Any]) -> Service:
    test = content.get("healthcheck", {}).get("test", [])
    return Service(
        name=name,
        image=content["image"],
        command=content["command"],
        healthcheck=["sh", "-c", *test[1:]] if test[:1] == ["CMD-SHELL"] else test[1:],
        environment=content.get("environment", {}),
        depends_on={other: dependency["condition"] for other, dependency in content.get("depends_on", {}).items()},
        ports=content.get("ports", []),
        volumes=content.get("volumes", []),
    )


def _interpolated(content: Any, variables: Mapping[str, str]) -> Any:
    if isinstance(content, dict):
        return {key: _interpolated(value, variables) for key, value in content.items()}
    if isinstance(content, list):
        return [_interpolated(value, variables) for value in content]
    return _VARIABLE.sub(lambda match: _value(match, variables), content) if isinstance(content, str) else content


def _value(match: re.Match[str], variables: Mapping[str, str]) -> str:
    if match["dollar"]:
        return "$"
    value = variables.get(match["name"], "")
    if not value and match["why"] is not None:
        raise Unset(f"{match['name']}: {match['why']}")
    return value
