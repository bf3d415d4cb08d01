"""Predictions over HTTP: the server, beside what it could cost at least and what it replaces.

    python benchmarks/serving.py                 # everything, with Redis and SQLite: about eight minutes
    python benchmarks/serving.py ours limit      # only these
    SECONDS=2 python benchmarks/serving.py       # shorter

The six feature views of flights, as feature_repo/ defines them, for 300 entities each; the model of flights with 100
trees, trained on made-up rows. Each server is a process of its own and gets the same requests from `wrk`. What counts
is the CPU of the server a request, and the ratios of one run: other load changes latencies, and CPU much less.

- `limit`: the same direct read and compiled trees behind a bare HTTP protocol, and an append to a file;
- `ours`: the prediction server; `unrecorded`: without its log; `shadow`: with a challenger that predicts every request
  in shadow, too; `pipeline`: with the stored pipeline instead of the compiled model;
- `unbatched`: with the pipeline, one request at a time;
- `naive`: FastAPI, Feast's SDK and the pipeline; `mlflow`: `mlflow models serve`, which reads no features.

Needs Debian's redis-server and wrk.
"""

from __future__ import annotations

import gc
import json
import os
import random
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

NOON = datetime(2013, 12, 31, 12, tzinfo=UTC)
KEYS = {
    "origin": [f"o{n}" for n in range(3)],
    "carrier": [f"c{n}" for n in range(16)],
    "route": [f"r{n}" for n in range(220)],
    "tailnum": [f"t{n}" for n in range(300)],
}
KINDS = ("limit", "ours", "unrecorded", "shadow", "pipeline", "unbatched", "naive", "mlflow")
LOADS = ((1, 1), (16, 1), (1, 100))
#: How durable the log is: see the setting `serving_log`.
LOG: Any = os.environ.get("LOG", "system")
SECONDS = float(os.environ.get("SECONDS", "4"))


def example(choose: random.Random) -> dict[str, Any]:
    """The fields of one request."""
    known = {name: choose.choice(values) for name, values in KEYS.items()}
    return known | {
        "dest": f"d{choose.randrange(100)}",
        "hour": choose.randrange(24),
        "weekday": choose.randrange(7),
        "distance": choose.randrange(100, 3000),
    }


# --- the world: feature store, model ---------------------------------------------------------------------------------


def prepare(folder: Path) -> None:
    """Write the online features, and fit and store the model."""
    import joblib
    import mlflow.sklearn
    import numpy as np
    import pandas as pd
    from feast.protos.feast.types.EntityKey_pb2 import EntityKey
    from feast.protos.feast.types.Value_pb2 import Value

    from perennial.feature_store import repository
    from use_cases.flights.model import build
    from use_cases.flights.use_case import FlightsParams

    repository.apply_if_changed()
    store = repository.open_store()
    choose = np.random.default_rng(0)
    columns: list[str] = []
    for view in store.list_feature_views():
        (key,) = [column.name for column in view.entity_columns]
        rows = []
        for entity in KEYS[key]:
            values = {
                field.name: Value(int64_val=int(choose.integers(100)))
                if "INT" in field.dtype.to_value_type().name
                else Value(double_val=float(choose.normal()))
                for field in view.features
            }
            rows.append((EntityKey(join_keys=[key], entity_values=[Value(string_val=entity)]), values, NOON, NOON))
        store.provider.online_write_batch(store.config, view, rows, None)
        columns += [field.name for field in view.features]
    count = 20_000
    requests = pd.DataFrame([example(random.Random(number)) for number in range(count)])  # noqa: S311
    frame = pd.concat(
        [
            requests[["carrier", "origin", "dest", "hour", "weekday", "distance"]],
            pd.DataFrame(choose.normal(size=(count, len(columns))), columns=columns).assign(
                **{name: choose.integers(100, size=count) for name in columns if name.startswith("plane_")}
            ),
        ],
        axis=1,
    )
    late = (frame[columns[0]] + frame["hour"] / 12 + choose.normal(size=count) > 1).astype(int)
    model = build(FlightsParams()).fit(frame, late)
    joblib.dump((model, frame.head(50)), folder / "model.joblib")
    mlflow.sklearn.save_model(
        model, folder / "mlflow-model", pyfunc_predict_fn="predict_proba", serialization_format="cloudpickle"
    )


def loaded(folder: Path, kind: str) -> Any:
    """The version that a server serves."""
    from dataclasses import replace

    import joblib
    import pyarrow as pa

    from perennial import discovery
    from perennial.feature_store.frozen.reading import reader
    from perennial.registry import model_loading
    from perennial.registry.ledger import Entry
    from perennial.serving import compiled_inputs
    from perennial.serving.loaded_version import LoadedVersion
    from perennial.serving.request_schema import RequestField, RequestSchema
    from perennial.serving.row_independence import is_row_independent

    gc.freeze()  # As `perennial serve` does: else a collection looks through all that was imported, for 0.2 s.
    model, rows = joblib.load(folder / "model.joblib")
    use_case = discovery.load("flights")
    numbers = ("hour", "weekday", "distance")
    names = [*KEYS, "dest", *numbers]
    request = RequestSchema(
        "flights",
        tuple(
            RequestField(name, pa.int64() if name in numbers else pa.string(), True, name not in KEYS) for name in names
        ),
    )
    whole = ("plane_year", "plane_seats", "plane_engines")
    retrieved = pa.schema([(name, pa.int64() if name in whole else pa.float64()) for name in rows.columns])
    predict = model_loading.predict_from(use_case, 1, model, list(rows.columns))
    inputs = compiled_inputs.schema(request, retrieved, list(rows.columns))
    compiled = compiled_inputs.compile_version(use_case, 1, request, model, predict, inputs, rows)
    assert compiled is not None
    version = LoadedVersion(
        use_case, Entry("1", "2013-12", "promoted", 1, None, "run", NOON, "gate", "", {}, NOON), None, request,
        list(rows.columns), retrieved, predict, reader("flights"), compiled, is_row_independent(predict, rows), True,
    )  # fmt: skip
    match kind:
        case "pipeline":
            return replace(version, compiled=None)
        case "unbatched":
            return replace(version, compiled=None, predicts_jointly=False, reads_jointly=False)
    return version


# --- the servers ------------------------------------------------------------------------------------------------------


def serve(kind: str, folder: Path, port: int) -> None:
    """Be one of the servers."""
    import logging

    import uvicorn

    logging.basicConfig(level=logging.INFO)

    if kind == "limit":
        _serve_limit(folder, port)
    elif kind == "naive":
        uvicorn.run(_naive(folder), port=port, log_level="warning", access_log=False)
    else:
        from perennial.served_predictions.writing import PredictionLog
        from perennial.serving.access import AccessControl
        from perennial.serving.application import application
        from perennial.serving.champions import Champions
        from perennial.serving.server import SWITCH_INTERVAL

        version = loaded(folder, kind)
        champions = Champions([version.use_case])
        champions._served["flights"].loaded = version
        sys.setswitchinterval(SWITCH_INTERVAL)
        if kind == "shadow":
            champions.challengers._trials["flights"] = trial(version)
        log = PredictionLog(folder / "serving_log", LOG) if kind != "unrecorded" else None
        app = application(champions, AccessControl(), log)
        uvicorn.run(app, port=port, log_level="warning", access_log=False, server_header=False)


def trial(version: Any) -> Any:
    """The same model as a challenger in shadow."""
    from dataclasses import replace
    from datetime import timedelta

    from perennial.registry.rollouts import RolloutState, Stage
    from perennial.serving.challengers import Trial

    now = datetime.now(UTC)
    state = RolloutState(2, 1, now, 0, Stage(0.0, timedelta(days=1)), now, version.entry)
    challenger = replace(version, entry=replace(version.entry, model_version=2))
    return Trial(state, challenger, None, tuple(KEYS), 1.0)


def _naive(folder: Path) -> Any:
    """What one writes in an afternoon."""
    import joblib
    import pandas as pd
    from fastapi import FastAPI
    from pydantic import BaseModel

    from perennial.feature_store import repository

    class Asked(BaseModel):
        examples: list[dict[str, str | int]]

    app = FastAPI()
    store = repository.open_store()
    service = store.get_feature_service("flights")
    model, rows = joblib.load(folder / "model.joblib")

    def predict(asked: Asked) -> dict[str, list[float]]:
        keys = [{name: row[name] for name in KEYS} for row in asked.examples]
        features = store.get_online_features(features=service, entity_rows=keys).to_dict()
        frame = pd.DataFrame(asked.examples).assign(
            **{name: features[name] for name in rows.columns if name in features}
        )
        return {"predictions": model.predict_proba(frame[list(rows.columns)])[:, 1].tolist()}

    # FastAPI looks for the class among the module's names, and would take the body for a parameter of the address.
    predict.__annotations__["asked"] = Asked
    app.post("/v1/use_cases/flights/predict")(predict)
    return app


def _serve_limit(folder: Path, port: int) -> None:
    """One event loop, one read, one prediction and one write for all requests of a turn; nothing is checked."""
    import asyncio

    import httptools
    import msgspec
    import uvloop

    version = loaded(folder, "ours")
    decode, encode = msgspec.json.Decoder().decode, msgspec.json.encode
    log = (folder / "limit.log").open("ab", buffering=0)
    waiting: list[tuple[asyncio.Transport, list[dict[str, Any]]]] = []

    def answer() -> None:
        batch = waiting[:]
        waiting.clear()
        examples = [each for _, some in batch for each in some]
        served = version.reader.read(examples, NOON)
        inputs = version.compiled.inputs(examples, served)
        predicted = version.compiled.model.predict(inputs.values).tolist()
        log.write(b"\n".join(map(encode, zip(examples, inputs.values, predicted, strict=True))) + b"\n")
        start = 0
        for transport, some in batch:
            body = encode({"predictions": predicted[start : start + len(some)]})
            start += len(some)
            transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))

    class Protocol(asyncio.Protocol):
        def connection_made(self, transport: Any) -> None:
            self.transport, self.parser, self.body = transport, httptools.HttpRequestParser(self), b""

        def data_received(self, data: bytes) -> None:
            self.parser.feed_data(data)

        def on_body(self, body: bytes) -> None:
            self.body += body

        def on_message_complete(self) -> None:
            if not waiting:
                loop.call_soon(answer)
            waiting.append((self.transport, decode(self.body)["examples"]))
            self.body = b""

    loop = uvloop.new_event_loop()
    loop.run_until_complete(loop.create_server(Protocol, "127.0.0.1", port))
    loop.run_forever()


# --- measuring --------------------------------------------------------------------------------------------------------


@dataclass
class Result:
    """What one load gave.

    Attributes:
        cpu: Microseconds of the server a request.
        latencies: Milliseconds: p50, p95, p99.
        rate: Requests a second.
    """

    cpu: float
    latencies: list[float]
    rate: float


@contextmanager
def running(kind: str, folder: Path, environment: dict[str, str]) -> Iterator[tuple[psutil.Process, int, float]]:
    """A server that answers, its port and how long that took."""
    port = free_port()
    command = [sys.executable, __file__, "--serve", kind, str(folder), str(port)]
    if kind == "mlflow":
        model = str(folder / "mlflow-model")
        command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", model, "-p", str(port)]
        command += ["--env-manager", "local"]
        # It looks for uvicorn there.
        environment = environment | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"}
    started = time.monotonic()
    with (folder / f"{kind}-server.log").open("w") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log, env=environment | {"OMP_NUM_THREADS": "1"})
    try:
        while True:
            assert server.poll() is None, (folder / f"{kind}-server.log").read_text()[-3000:]
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert time.monotonic() < started + 180, "the server does not start"
            time.sleep(0.05)
        yield psutil.Process(server.pid), port, time.monotonic() - started
    finally:
        if server.poll() is None:
            for child in psutil.Process(server.pid).children(recursive=True):
                child.terminate()
            server.terminate()
        server.wait(timeout=30)


def measure(
    kind: str, folder: Path, server: psutil.Process, port: int, token: str, clients: int, examples: int
) -> Result:
    """One load on a running server."""
    choose = random.Random(clients * 1000 + examples)  # noqa: S311
    bodies = [_body(kind, [example(choose) for _ in range(examples)]) for _ in range(200)]
    script = folder / "load.lua"
    quoted = ",\n".join(json.dumps(body).replace("\\/", "/") for body in bodies)
    script.write_text(_LUA % {"bodies": quoted, "token": token})
    path = "/invocations" if kind == "mlflow" else "/v1/use_cases/flights/predict"
    command = ["wrk", "-t1", f"-c{clients}", "-s", str(script), f"http://127.0.0.1:{port}{path}"]
    subprocess.run([*command, "-d1s"], check=True, capture_output=True)  # Warm.
    before = _cpu(server)
    done = subprocess.run([*command, f"-d{max(1, round(SECONDS))}s"], check=True, capture_output=True, text=True)
    used = _cpu(server) - before
    (line,) = re.findall(r"RESULT (.*)", done.stdout)
    requests, errors, duration, *latencies = map(float, line.split())
    assert requests, f"{kind} answered nothing in {SECONDS} seconds"
    assert not errors, (done.stdout, (folder / f"{kind}-server.log").read_text()[-2000:])
    return Result(used / requests * 1e6, [each / 1000 for each in latencies], requests / duration * 1e6)


def _body(kind: str, examples: list[dict[str, Any]]) -> str:
    if kind != "mlflow":
        return json.dumps(
            {"examples": examples, "at": NOON.isoformat()} if kind not in ("limit", "naive") else {"examples": examples}
        )
    names = ("carrier", "origin", "dest", "hour", "weekday", "distance")
    rows = [{name: row[name] for name in names} for row in examples]
    features = FEATURES
    for row in rows:
        row |= dict.fromkeys(features, 1.5)
    return json.dumps({"dataframe_records": rows})


#: What `mlflow models serve` is sent, as it reads no features.
FEATURES: list[str] = []

_LUA = """
local bodies = {%(bodies)s}
local at = 0
request = function()
  at = at %% #bodies + 1
  return wrk.format("POST", nil,
    {["Content-Type"] = "application/json", ["Authorization"] = "Bearer %(token)s"}, bodies[at])
end
done = function(summary, latency, requests)
  local e = summary.errors
  print("RESULT " .. summary.requests .. " " .. (e.connect + e.read + e.write + e.status + e.timeout) .. " " ..
    summary.duration .. " " .. latency:percentile(50) .. " " .. latency:percentile(95) .. " " .. latency:percentile(99))
end
"""


def _cpu(server: psutil.Process) -> float:
    family = [server, *server.children(recursive=True)]
    return sum(sum(each.cpu_times()[:2]) for each in family)


def _memory(server: psutil.Process) -> float:
    return sum(each.memory_full_info().pss for each in [server, *server.children(recursive=True)]) / 1e6


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@contextmanager
def redis_server() -> Iterator[str]:
    port = free_port()
    server = subprocess.Popen(
        ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", ""], stdout=subprocess.DEVNULL
    )
    try:
        time.sleep(1)
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        server.terminate()
        server.wait(timeout=30)


def bench(store: str, kinds: list[str]) -> None:
    """All servers with one kind of online store."""
    from perennial.embedded import postgres as embedded
    from perennial.serving import tokens
    from perennial.settings import settings

    folder = Path(tempfile.mkdtemp(prefix="perennial-bench-serving-"))
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, True)
        os.environ |= {"PERENNIAL_HOME": str(folder / "home"), "MLFLOW_DISABLE_TELEMETRY": "true"}
        if store == "redis":
            os.environ["PERENNIAL_ONLINE_STORE"] = stack.enter_context(redis_server())
        else:
            os.environ.pop("PERENNIAL_ONLINE_STORE", None)
        settings.cache_clear()
        (folder / "home").mkdir(mode=0o700)
        embedded.start()
        embedded.create_databases()
        stack.callback(embedded.stop)

        prepare(folder)
        token = tokens.create("bench")[0]
        import joblib

        FEATURES[:] = [name for name in joblib.load(folder / "model.joblib")[1].columns if "_" in name]
        print(f"\n## {store}\n")
        print("| server | load | CPU, us a request | to the limit | requests/s a core | p50, p95, p99 ms |")
        print("|---|---|---|---|---|---|")
        limits: dict[tuple[int, int], float] = {}
        notes = []
        for kind in kinds:
            with running(kind, folder, dict(os.environ)) as (server, port, seconds):
                for load in LOADS:
                    result = measure(kind, folder, server, port, token, *load)
                    limits.setdefault(load, result.cpu)
                    shown = ", ".join(f"{each:.1f}" for each in result.latencies)
                    clients, examples = load
                    print(
                        f"| {kind} | {examples} examples, {clients} clients | {result.cpu:,.0f} |"
                        f" {result.cpu / limits[load]:.1f} | {1e6 / result.cpu:,.0f} | {shown} |",
                        flush=True,
                    )
                notes.append(f"{kind}: start to answering {seconds:.1f} s, {_memory(server):.0f} MB (PSS)")
        print("\n" + "\n".join(notes))


def main(arguments: list[str]) -> None:
    if arguments[:1] == ["--serve"]:
        serve(arguments[1], Path(arguments[2]), int(arguments[3]))
    elif arguments[:1] == ["--store"]:
        bench(arguments[1], arguments[2:])
    else:
        wanted = [kind for kind in KINDS if not arguments or kind in arguments]
        for store, kinds in (("redis", wanted), ("sqlite", [kind for kind in wanted if kind in ("limit", "ours")])):
            if kinds:  # A process each, for a home of its own.
                subprocess.run([sys.executable, __file__, "--store", store, *kinds], check=True)


if __name__ == "__main__":
    main(sys.argv[1:])
