"""The embedded PostgreSQL."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import psycopg2
import pytest
from another_user import as_nobody
from sqlalchemy.ext.asyncio import create_async_engine

from perennial.doctor import postgres as doctor
from perennial.embedded import environment, postgres, postgres_programs, processes
from perennial.errors import ServiceUnavailable
from perennial.feature_store.online import ConfiguredOnlineStoreConfig
from perennial.feature_store.online.postgres import NewestPostgreSQLOnlineStore
from perennial.lake_cache import catalog
from perennial.services import postgres as database
from perennial.services import postgres_address
from perennial.settings import settings

STRANGE = 'it\'s "My" Pro$jects`, é % {n} \\'


def answer(query: str) -> object:
    engine = database.create_engine(database.url("postgres"))
    try:
        with engine.begin() as connection:
            result = connection.exec_driver_sql(query)
            return result.scalar() if result.returns_rows else None
    finally:
        engine.dispose()


def place_home(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.mkdir(parents=True)
    monkeypatch.setenv("PERENNIAL_HOME", str(folder))
    settings.cache_clear()


def test_postgres_survives_being_killed(empty_home: Path) -> None:
    postgres.start()
    try:
        postgres.create_databases()
        postgres.create_databases()
        before = postgres.process()
        assert before is not None
        before.send_signal(signal.SIGKILL)
        assert processes.wait_until(lambda: not postgres.is_ready(), 20)
        postgres.start()
        with database.create_engine(database.url("lake")).connect() as connection:
            assert connection.exec_driver_sql("SELECT 1").scalar() == 1
    finally:
        assert postgres.stop()
    assert not postgres.is_ready()
    assert not postgres.stop()


def test_a_reused_process_id_does_not_block_the_start(empty_home: Path) -> None:
    postgres.start()
    server = postgres.process()
    assert server is not None
    server.kill()
    server.wait()
    # What the files of the server say after a restart of the machine, if ids are given in another order.
    account = postgres_programs.server_account(postgres_address.folder())
    sleeper = subprocess.Popen(["sleep", "300"], **postgres_programs.options(account, empty_home))
    try:
        for name in ("postmaster.pid", ".s.PGSQL.5432.lock"):
            file = postgres_address.folder() / name
            file.write_text(f"{sleeper.pid}\n{file.read_text().partition(chr(10))[2]}")
        assert not postgres.stop()
        postgres.start()
        assert answer("SELECT 1") == 1
        assert sleeper.poll() is None
    finally:
        sleeper.kill()
        sleeper.wait()


def test_a_process_that_may_be_the_server_blocks_the_start(empty_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres, "_CLEARING_TIMEOUT", 0)
    postgres.start()
    postgres.stop()
    account = postgres_programs.server_account(postgres_address.folder())
    options = postgres_programs.options(account, empty_home) | {"stdin": subprocess.PIPE}
    # As it looks after the home was moved under a running server.
    reading = subprocess.Popen(["postgres", "-c", "read line"], executable="/bin/sh", **options)
    file = postgres_address.folder() / "postmaster.pid"
    try:
        file.write_text(f"{reading.pid}\n{empty_home}\n")
        file.chmod(0o644)  # Whatever this process's umask is: the server's account reads it.
        with pytest.raises(ServiceUnavailable, match=r'lock file "postmaster\.pid" already exists'):
            postgres.start()
        assert file.read_text() == f"{reading.pid}\n{empty_home}\n"
    finally:
        reading.communicate()
    postgres.start()


@pytest.mark.parametrize("name", ["x" * 150, STRANGE], ids=["long", "strange"])
def test_any_path_of_a_home_will_do(empty_home: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    place_home(empty_home / name, monkeypatch)
    monkeypatch.setenv("LC_ALL", "xx_XX.UTF-8")  # Not installed.
    monkeypatch.setenv("PGPORT", "1")
    postgres.start()
    try:
        postgres.create_databases()
        link = Path(postgres_address.address().socket)
        assert stat.S_IMODE(link.parent.lstat().st_mode) == 0o700
        assert answer("SHOW server_encoding") == "UTF8"
        assert answer("SELECT upper('é')") == "É"
        assert answer("SHOW listen_addresses") == ""
    finally:
        assert postgres.stop()
    assert not link.is_symlink()


def test_a_home_that_let_everybody_in_is_closed(empty_home: Path) -> None:
    postgres.start()
    rules, name_map = (postgres_address.folder() / name for name in ("pg_hba.conf", "pg_ident.conf"))
    written = rules.read_text(), name_map.read_text()
    answer("CREATE TABLE kept AS SELECT 7 AS value")
    for stop in (postgres.stop, lambda: None):  # As an earlier release left it, and while its server still runs.
        stop()
        rules.write_text("local all all trust\nhost all all 127.0.0.1/32 trust\n")
        name_map.write_text("")
        postgres.start()
        assert (rules.read_text(), name_map.read_text()) == written
        assert answer("SELECT count(*) FROM pg_hba_file_rules WHERE auth_method <> 'peer'") == 0
        assert answer("SELECT value FROM kept") == 7


def test_the_log_says_why_it_did_not_start(empty_home: Path) -> None:
    postgres.start()
    postgres.stop()
    settings_file = postgres_address.folder() / "postgresql.conf"
    settings_file.write_text("no_such_parameter = 1\n")
    with pytest.raises(ServiceUnavailable, match=r'unrecognized .* "no_such_parameter" in file') as raised:
        postgres.start()
    assert str(processes.log_file("postgresql")) in raised.value.fix


def test_a_failed_set_up_shows_its_cause(empty_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres, "_LOCALE", ("--encoding=NONE",))
    with pytest.raises(ServiceUnavailable, match=r'could not be set up: initdb: error: .*"NONE"'):
        postgres.start()
    monkeypatch.undo()
    monkeypatch.setenv("PERENNIAL_HOME", str(empty_home))
    settings.cache_clear()
    postgres.start()


def test_two_processes_start_one_server(empty_home: Path) -> None:
    command = [sys.executable, "-c", "from perennial.embedded import postgres as p; p.start(); print(p.process().pid)"]
    starting = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(2)]
    first, second = (each.communicate(timeout=120)[0] for each in starting)
    assert first == second
    assert int(first) == postgres.process().pid


def test_programs_that_nobody_else_can_reach(empty_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed = postgres_programs._wheels()
    checkout = empty_home / STRANGE
    for name in (postgres_programs._INSTALLATION, postgres_programs._LIBRARIES):
        if (installed / name).exists():
            shutil.copytree(installed / name, checkout / name, symlinks=True)
    checkout.chmod(0o700)
    monkeypatch.setattr(postgres_programs, "_wheels", lambda: checkout)
    monkeypatch.setattr(postgres_programs, "_CACHE", Path(f"{empty_home}-cache"))
    try:
        postgres.start()
        assert answer("SELECT 1") == 1
    finally:
        postgres.stop()
        shutil.rmtree(f"{empty_home}-cache", ignore_errors=True)
    assert stat.S_IMODE(checkout.stat().st_mode) == 0o700, "no folder is opened for the server"


def ask(url: object) -> None:
    engine = database.create_engine(url)
    try:
        engine.connect().close()
    finally:
        engine.dispose()


async def ask_without_waiting(url: str) -> None:
    engine = create_async_engine(url)
    try:
        async with engine.connect():
            pass
    finally:
        await engine.dispose()


def online_store() -> SimpleNamespace:
    return SimpleNamespace(online_store=ConfiguredOnlineStoreConfig(type="...ConfiguredOnlineStore"))


def read_online() -> None:
    with NewestPostgreSQLOnlineStore().connection(online_store()):
        pass


async def read_online_without_waiting() -> None:
    async with NewestPostgreSQLOnlineStore()._get_conn_async(online_store()):
        pass


#: Each way in which something of ours connects to the embedded server.
CLIENTS: dict[str, Callable[[], object]] = {
    "up": postgres._connect,
    "doctor": lambda: doctor.connect("lake"),
    "lake cache": catalog._connect,
    "psycopg2": lambda: ask(database.url("lake")),
    "psycopg": lambda: ask("postgresql+psycopg:///feast?plugin=perennial"),
    "airflow": lambda: ask(environment.environment()["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"]),
    "airflow, async": lambda: asyncio.run(
        ask_without_waiting(environment.environment()["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_ASYNC"])
    ),
    "mlflow": lambda: ask(environment.mlflow_environment()["MLFLOW_BACKEND_STORE_URI"]),
    "online store": read_online,
    "online store, async": lambda: asyncio.run(read_online_without_waiting()),
}


def refusals() -> dict[str, str]:
    """What each client says of the server; nothing of one that it talks to."""
    said = {}
    # In a thread of its own: Playwright's event loop goes on in the one in which tests of pages have run.
    with ThreadPoolExecutor(1) as thread:
        for name, connect in CLIENTS.items():
            if error := thread.submit(connect).exception():
                said[name] = str(error)
    return said


def test_every_client_asks_who_the_server_is(empty_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERENNIAL_ONLINE_STORE", "postgresql:///feast")
    settings.cache_clear()
    postgres.start()
    postgres.create_databases()
    assert refusals() == {}
    ours = postgres_address.address()
    monkeypatch.setattr(postgres_address, "address", lambda: replace(ours, account="somebody-else"))
    said = refusals()
    assert said.keys() == CLIENTS.keys()
    assert not [text for text in said.values() if 'requirepeer specifies "somebody-else"' not in text]


@pytest.mark.services
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as another user")
def test_a_socket_of_another_user_is_not_trusted(empty_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERENNIAL_ONLINE_STORE", "postgresql:///feast")
    settings.cache_clear()
    postgres.start()
    data, running = postgres_address.folder(), (postgres_address.folder() / "postmaster.pid").read_text()
    postgres.stop()
    (data / "postmaster.pid").write_text(running)  # As after a power cut, with the folder left open by mistake.
    for folder in (empty_home, data):
        folder.chmod(0o777)
    planted = socket.socket(socket.AF_UNIX)

    def plant() -> None:
        planted.bind(str(data / ".s.PGSQL.5432"))
        planted.listen(50)

    assert as_nobody(plant) == "None"
    try:
        said = refusals()
    finally:
        planted.close()
    assert said.keys() == CLIENTS.keys()
    assert not [text for text in said.values() if "requirepeer specifies" not in text]


@pytest.mark.services
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as another user")
@pytest.mark.parametrize("name", ["short", "x" * 150], ids=["short", "long"])
def test_no_other_user_can_connect(empty_home: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    place_home(empty_home / name, monkeypatch)
    postgres.start()
    address = postgres_address.address()

    def connect() -> object:
        return psycopg2.connect(dbname="postgres", user="postgres", host=address.socket, port=address.port)

    try:
        assert connect()
        assert "Permission denied" in as_nobody(connect)
        # Even where every folder was opened by mistake, the server itself refuses.
        data = postgres_address.folder()
        for folder in (empty_home, data.parent, data, Path(address.socket).parent):
            folder.chmod(0o755)
        (data / ".s.PGSQL.5432").chmod(0o777)
        assert "Peer authentication failed" in as_nobody(connect)
    finally:
        postgres.stop()
