"""The embedded PostgreSQL: installed from a wheel, on a socket in its own folder, with four databases.

Nobody but the account that started it can use it: the folder has mode 0700, and the server asks the kernel who connects
("peer"), so that no password exists that could leak. It does not listen on any network.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import psutil
from filelock import FileLock

from perennial._common import private_home
from perennial.embedded import processes
from perennial.embedded.postgres_programs import (
    Account,
    data_argument,
    initdb_programs,
    options,
    programs,
    server_account,
)
from perennial.errors import ServiceUnavailable
from perennial.services import postgres, socket_link
from perennial.services.postgres_address import MARK, folder, is_ready, name_of, process
from perennial.settings import settings

#: Recovery after a power cut may take this long, in seconds.
_START_TIMEOUT = 120.0
#: How long the server may take to accept a connection, in seconds.
_ANSWER_TIMEOUT = 5
#: Every account not on the map is refused; without a line for `host` so is every connection by a network.
_ACCESS = "local all all peer map=perennial\n"
_LOCALE = ("--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8")
#: What the log says while what a killed server left is still being cleared away, and how long that may take.
_CLEARING_TIMEOUT = 30.0
_PASSING = ("is still in use", "already exists")
_TIME_AND_PROCESS = re.compile(r"^[\d-]+ [\d:.]+ \w+ \[\d+\] ")
_FATAL = re.compile(r"FATAL:|PANIC:|error:")


def start() -> None:
    """Start the server if it is not running or no longer answers, and let nobody else use it. It outlives this process.

    A home of an earlier release, whose server accepted everybody, is changed to the same.

    Raises:
        ServiceUnavailable: it did not start; the error shows the last line of its log.
    """
    where = folder()
    private_home.close(settings().home)
    run = settings().home / "run"
    run.mkdir(exist_ok=True)
    with FileLock(run / "postgresql.lock"):
        account = server_account(where)
        _initialise(where, account)
        changed = _restrict_access(where, account)
        if is_ready() and not answers():
            stop(_ANSWER_TIMEOUT)
        running = process()
        if running is None:
            _launch(where, account)
        elif changed:
            running.send_signal(signal.SIGHUP)
        if not processes.wait_until(is_ready, _START_TIMEOUT):
            raise _failure(f"did not become ready within {_START_TIMEOUT:.0f} s", processes.log_tail("postgresql", 1))


def _initialise(where: Path, account: Account) -> None:
    """Make the data folder under another name, and rename it once it is complete.

    What an interrupted or killed `initdb` leaves would never start.
    """
    if where.exists() and any(where.iterdir()):
        return
    draft = where.with_name("postgres.draft")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(mode=0o700)
    account.own(draft)
    with initdb_programs() as programs_:
        command: list[str | Path] = [programs_ / "initdb", "-D", data_argument(), "-U", "postgres", *_LOCALE]
        command += ["--auth-local=peer", "--auth-host=reject", "--no-instructions"]
        with processes.open_log("postgresql") as log:
            began = log.tell()
            done = subprocess.run(command, stdout=log, stderr=subprocess.STDOUT, **options(account, draft))
    if done.returncode != 0:
        raise _failure("could not be set up", _cause(processes.log_since("postgresql", began)))
    draft.rename(where)


def _restrict_access(where: Path, account: Account) -> bool:
    """Let only the starting account, the server's own and root connect; return whether that is a change."""
    names = dict.fromkeys(each.name for each in (Account.of(os.geteuid()), account, Account.of(0)))
    quoted = [name.replace('"', '""') for name in names]
    files = {
        "pg_hba.conf": _ACCESS,
        "pg_ident.conf": "".join(f'perennial "{name}" postgres\n' for name in quoted),
    }
    changed = [name for name, content in files.items() if not _holds(where / name, content)]
    for name in changed:
        _replace(where / name, files[name], account)
    return bool(changed)


def _holds(file: Path, content: str) -> bool:
    try:
        return file.read_text() == content
    except (OSError, ValueError):
        return False


def _replace(file: Path, content: str, account: Account) -> None:
    """Replace a file in the data folder, in one step and without following a link there."""
    draft = file.with_name(f"{file.name}.draft")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600), "w") as stream:
        account.own(stream.fileno())
        stream.write(content)
    draft.replace(file)


def _launch(where: Path, account: Account) -> None:
    """Start the server and wait until it is ready, or the time for that is over.

    Raises:
        ServiceUnavailable: it ended.
    """
    parameters = {
        "listen_addresses": "",
        "unix_socket_directories": ".",
        "unix_socket_permissions": "0600",
        "port": "5432",
    }
    command: list[str | Path] = [programs() / "postgres", "-D", data_argument()]
    command += [word for name, value in parameters.items() for word in ("-c", f"{name}={value}")]
    command += ["-c", f"{MARK}{where.resolve()}"]
    began = time.monotonic()
    deadline = began + _START_TIMEOUT
    while (cause := _attempt(command, where, account, deadline)) is not None:
        if time.monotonic() > began + _CLEARING_TIMEOUT or not any(words in cause for words in _PASSING):
            raise _failure("did not start", cause)
        time.sleep(0.2)


def _attempt(command: list[str | Path], where: Path, account: Account, deadline: float) -> str | None:
    """Start the server; return why it ended, or None as soon as one is ready or the deadline is over."""
    _disown_stale_files(where, account)
    with processes.open_log("postgresql") as log, processes.delay_interrupt():
        began = log.tell()
        child = subprocess.Popen(
            command, stdout=log, stderr=subprocess.STDOUT, start_new_session=True, **options(account, where)
        )
    processes.wait_until(lambda: child.poll() is not None or is_ready(), deadline - time.monotonic(), every=0.05)
    return None if child.poll() is None else _cause(processes.log_since("postgresql", began))


def _disown_stale_files(where: Path, account: Account) -> None:
    """Take out of the files of a server that has ended a process id which another process has by now.

    PostgreSQL would take that process for the server. The rest of the files stays: by it, it finds out whether anything
    of the ended server still uses the data.
    """
    for name in ("postmaster.pid", ".s.PGSQL.5432.lock"):
        file = where / name
        try:
            first, _, rest = file.read_text().partition("\n")
            if _may_be_of(where, psutil.Process(int(first)).cmdline()):
                continue
        except psutil.ZombieProcess:
            pass
        except (OSError, ValueError, psutil.Error):  # Of a process that cannot be looked at, PostgreSQL decides.
            continue
        _replace(file, f"{os.getpid()}\n{rest}", account)  # The parent of a server is never taken for a server.


def _may_be_of(where: Path, command: list[str]) -> bool:
    """Whether a process with this command line may be the server on the folder, which may have been moved since."""
    if not command or Path(command[0]).name != "postgres":
        return False
    others = [Path(word.removeprefix(MARK)) for word in command if word.startswith(MARK)]
    return not any(other.exists() and not other.samefile(where) for other in others)


def _cause(output: str) -> str:
    """The line of a log that says why a program ended."""
    lines = [_TIME_AND_PROCESS.sub("", line).strip() for line in output.splitlines() if line.strip()]
    # The error in a configuration file stands in the line before the one that says that the file has one.
    fatal = [line for line in lines if _FATAL.search(line) or " in file " in line]
    if not fatal:
        return (lines or ["it wrote nothing"])[-1]
    return fatal[-2] if "contains errors" in fatal[-1] and len(fatal) > 1 else fatal[-1]


def _failure(what: str, cause: str) -> ServiceUnavailable:
    """The error with the fix that fits its cause."""
    fix = f"Read {processes.log_file('postgresql')}."
    if "No space left" in cause:
        fix = "Free space on its disk, then run `perennial up` again."
    elif "ownership" in cause or "ermission" in cause:
        fix = f"Let {folder()} belong to the account that runs the server, with mode 0700."
    return ServiceUnavailable(f"The embedded PostgreSQL in {folder()} {what}: {cause}", fix)


def answers() -> bool:
    """Whether the embedded server runs and answers within some seconds; a refusal is an answer."""
    import psycopg2

    if not is_ready():
        return False
    try:
        connection = _connect()
    except psycopg2.OperationalError as error:
        return "FATAL:" in str(error)
    connection.close()
    return True


def _connect() -> Any:
    """A connection to the configured server that commits by itself.

    Raises:
        psycopg2.OperationalError: it does not accept one within `_ANSWER_TIMEOUT`.
    """
    import psycopg2

    address = postgres.url("postgres")
    parameters = address.translate_connect_args(database="dbname", username="user") | dict(address.query)
    connection = psycopg2.connect(**parameters | {"connect_timeout": _ANSWER_TIMEOUT})
    connection.autocommit = True
    return connection


def create_databases() -> None:
    """Create each of `services.postgres.DATABASES` that the configured server does not have yet."""
    connection = _connect()
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT datname FROM pg_database")
            present = {name for (name,) in cursor.fetchall()}
            for name in map(name_of, postgres.DATABASES):
                if name not in present:
                    cursor.execute(f'CREATE DATABASE "{name}"')
    finally:
        connection.close()


def stop(patience: float = 30) -> bool:
    """Stop the server, ending its clients' connections.

    Args:
        patience: How long each of three ways to stop it may take, in seconds.

    Returns:
        Whether it was running.
    """
    running = process()
    if running is None:
        return False
    try:
        # Fast, then immediate: the next start recovers from its log. Last of all for one that handles no signal.
        for request in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
            running.send_signal(request)
            try:
                running.wait(patience)
                break
            except psutil.TimeoutExpired:
                continue
    except psutil.NoSuchProcess:
        pass
    socket_link.remove(folder())
    return True
