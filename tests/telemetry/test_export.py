"""The files for Prometheus and Grafana: what is in them, and which files are not overwritten."""

from __future__ import annotations

import json
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from perennial import discovery
from perennial.cli import app
from perennial.errors import InvalidParams
from perennial.serving import metrics as of_serving
from perennial.settings import settings
from perennial.telemetry import dashboard, export, scraping
from perennial.telemetry.catalogue import METRICS

pytestmark = pytest.mark.usefixtures("project")


def names_in(query: str) -> set[str]:
    return set(re.findall(r"\bperennial_\w+", query))


def known_names() -> set[str]:
    source = Path(of_serving.__file__).read_text()
    served = {f"perennial_serving_{name}" for name in re.findall(r'\{_NAME\}_(\w+)"', source)}
    served |= {f"perennial_serving_log_{name}" for name in re.findall(r'\{name\}_(\w+)"', source)}
    served |= {f"{name}_total" for name in served} | {
        "perennial_serving_seconds_bucket",
        "perennial_serving_seconds_count",
    }
    return {metric.name for metric in METRICS} | served


def rules(folder: Path) -> dict[str, list[dict[str, Any]]]:
    content = yaml.safe_load((folder / export.RULES).read_text())
    return {group["name"]: group["rules"] for group in content["groups"]}


def test_rules_ask_for_metrics_that_there_are(tmp_path: Path) -> None:
    export.write(tmp_path)
    written = [rule for group in rules(tmp_path).values() for rule in group]
    asked = {name for rule in written for name in names_in(rule["expr"])}
    assert asked <= known_names()
    assert len(asked) > 20
    for rule in written:
        assert rule["annotations"]["page"].startswith(f"{settings().airflow_public_uri}/perennial/")


def test_times_depend_on_the_cadence_of_each_use_case(tmp_path: Path) -> None:
    export.write(tmp_path)
    found = {
        name: {rule["alert"]: rule["for"] for rule in rules(tmp_path)[f"perennial-{name}"]}
        for name in ("energy", "flights")
    }
    assert found["energy"]["PerennialOverdue"] == "3h"  # Daily,
    assert found["flights"]["PerennialOverdue"] == "1d"  # and monthly.


def test_a_retired_use_case_has_no_rules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    retired = discovery.Retirement("2024-01-01", "ada", "done")
    monkeypatch.setattr(discovery, "retirement", lambda name: retired if name == "energy" else None)
    export.write(tmp_path)
    assert "perennial-energy" not in rules(tmp_path)
    assert "perennial-flights" in rules(tmp_path)


def test_prometheus_is_told_where_the_servers_are() -> None:
    elsewhere = settings().model_copy(
        update={"airflow_uri": "https://airflow.example.com/base/", "serving_uri": "http://[::1]:8090"}
    )
    written = scraping.configuration(elsewhere, "rules.yml", "127.0.0.1:9093")
    pipelines, serving = written["scrape_configs"]
    assert (pipelines["scheme"], pipelines["metrics_path"]) == ("https", "/base/perennial/metrics")
    assert pipelines["static_configs"] == [{"targets": ["airflow.example.com:443"]}]
    assert serving["static_configs"] == [{"targets": ["[::1]:8090"]}]
    assert written["alerting"]["alertmanagers"] == [{"static_configs": [{"targets": ["127.0.0.1:9093"]}]}]
    alone = scraping.configuration(elsewhere.model_copy(update={"serving_uri": "none"}), "rules.yml")
    assert [job["job_name"] for job in alone["scrape_configs"]] == ["perennial"]
    assert "alerting" not in alone


def test_the_dashboard_shows_metrics_that_there_are() -> None:
    made = dashboard.dashboard(["energy"], "marker")
    queries = [target["expr"] for panel in made["panels"] for target in panel["targets"]]
    assert {name for query in queries for name in names_in(query)} <= known_names()
    assert len({panel["id"] for panel in made["panels"]}) == len(made["panels"])


def test_panels_neither_overlap_nor_leave_the_page() -> None:
    places = [panel["gridPos"] for panel in dashboard.dashboard([], "marker")["panels"]]
    for first, second in pairwise(places):
        assert second["y"] >= first["y"] + first["h"] or second["x"] == first["x"] + first["w"]
    assert all(place["x"] + place["w"] <= 24 for place in places)


def test_files_are_written_again_but_those_of_others_are_not(tmp_path: Path) -> None:
    assert export.write(tmp_path) == export.write(tmp_path)
    (tmp_path / export.CONFIGURATION).write_text("global: {}\n")
    with pytest.raises(InvalidParams, match=r"prometheus.yml was not written by"):
        export.write(tmp_path)
    assert (tmp_path / export.CONFIGURATION).read_text() == "global: {}\n"


@pytest.mark.parametrize("address", ["", "host", "http://host:9093", "host:port", "host:9093/path"])
def test_an_alertmanager_is_a_host_and_a_port(tmp_path: Path, address: str) -> None:
    with pytest.raises(InvalidParams, match="no address of an Alertmanager"):
        export.write(tmp_path / "new", address)
    assert not (tmp_path / "new").exists()


def test_the_command_lists_its_files(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["telemetry", "export", "--to", str(tmp_path), "--json"])
    assert json.loads(done.stdout) == {"files": [str(tmp_path / name) for name in FILES]}
    assert sorted(each.name for each in tmp_path.iterdir()) == sorted(FILES)


FILES = ["prometheus.yml", "perennial_rules.yml", "perennial_dashboard.json"]
