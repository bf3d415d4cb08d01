"""The environment variables of the embedded servers and of tools beside them, and the files that they name."""

from __future__ import annotations

import json
import os
import secrets
import sys
from pathlib import Path

from perennial._common import private_home
from perennial.embedded.status import embeds_airflow, embeds_mlflow
from perennial.services import postgres
from perennial.services.credentials import login, other_logins, write_once, write_private
from perennial.settings import settings


def environment() -> dict[str, str]:
    """The environment of every embedded Airflow and MLflow process.

    The caller's own environment, with `PERENNIAL_*` absolute, Airflow's configuration, and MLflow's address and login.

    Raises:
        ServiceUnavailable: the embedded PostgreSQL is not running.
    """
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return inherited | _common() | _airflow()


#: Sign sessions and tokens: a server needs them, and nobody else.
_OF_SERVERS_ONLY = ("AIRFLOW__API__SECRET_KEY", "AIRFLOW__API_AUTH__JWT_SECRET")
#: What a tool needs of the caller's environment: Perennial's settings, and the login to another MLflow.
_INHERITED = ("PERENNIAL_", "MLFLOW_TRACKING_")


def tool_environment() -> dict[str, str]:
    """The variables by which `airflow`, `mlflow`, a notebook or another tool uses the same servers.

    An Airflow that settings place elsewhere has its own configuration, and nothing is said about it. Secrets among them
    are MLflow's password, and of the embedded Airflow the address of its database and the key of its connections.

    Raises:
        ServiceUnavailable: the embedded PostgreSQL is not running.
    """
    inherited = {name: value for name, value in os.environ.items() if value and name.startswith(_INHERITED)}
    airflow = _airflow() if embeds_airflow(settings()) else {}
    variables = inherited | _common() | airflow
    return {name: value for name, value in variables.items() if name not in _OF_SERVERS_ONLY}


def _common() -> dict[str, str]:
    where = settings()
    path = [str(Path(sys.executable).parent), *filter(None, os.environ.get("PATH", "").split(os.pathsep))]
    return {
        "PERENNIAL_PROJECT": str(where.project),
        "PERENNIAL_HOME": str(where.home),
        "PERENNIAL_MLFLOW_PORT": str(where.mlflow_port),
        "PERENNIAL_AIRFLOW_PORT": str(where.airflow_port),
        "PERENNIAL_SERVING_PORT": str(where.serving_port),
        "PATH": os.pathsep.join(dict.fromkeys(path)),
        "MLFLOW_TRACKING_URI": where.mlflow_uri,
        **_mlflow_login(),
        "MLFLOW_DISABLE_TELEMETRY": "true",
        # A thread that waits for a busy core must sleep: spinning makes a fit up to ten times slower.
        "OMP_WAIT_POLICY": "PASSIVE",
        "GX_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "FEAST_USAGE": "False",
        "GIT_PYTHON_REFRESH": "quiet",
    }


def _mlflow_login() -> dict[str, str]:
    """The login to the embedded MLflow; another one's is in the caller's environment, if it needs one."""
    if not embeds_mlflow(settings()):
        return {}
    access = login()
    return {
        "MLFLOW_TRACKING_USERNAME": os.environ.get("MLFLOW_TRACKING_USERNAME", access.user),
        "MLFLOW_TRACKING_PASSWORD": os.environ.get("MLFLOW_TRACKING_PASSWORD", access.password),
    }


def _airflow() -> dict[str, str]:
    where, keys, mask = settings(), _keys(), private_home.umask(settings().home)
    home = where.home / "airflow"
    config = where.project / "config"
    options = {
        "CORE__DAGS_FOLDER": where.project / "dags",
        "CORE__PLUGINS_FOLDER": where.project / "plugins",
        "CORE__LOAD_EXAMPLES": False,
        "CORE__DAGS_ARE_PAUSED_AT_CREATION": False,
        "CORE__EXECUTOR": "perennial.orchestration.executor.PreloadingLocalExecutor",
        "CORE__PARALLELISM": where.parallelism,
        "CORE__MAX_ACTIVE_TASKS_PER_DAG": where.parallelism,
        "CORE__FERNET_KEY": keys["fernet"],
        "CORE__EXECUTION_API_SERVER_URL": f"{where.airflow_uri}/execution/",
        "CORE__SIMPLE_AUTH_MANAGER_USERS": ",".join(
            f"{user}:{role}" for user, role in (where.users | {login().user: "admin"}).items()
        ),
        "CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": home / "passwords.json",
        "DATABASE__SQL_ALCHEMY_CONN": postgres.url("airflow").render_as_string(hide_password=False),
        # Airflow's choice would be asyncpg, which does not look at who is behind a socket (`requirepeer`).
        "DATABASE__SQL_ALCHEMY_CONN_ASYNC": postgres.url("airflow", "psycopg").render_as_string(hide_password=False),
        "DATABASE__LOAD_DEFAULT_CONNECTIONS": False,
        "API__HOST": where.airflow_host,
        "API__PORT": where.airflow_port,
        "API__BASE_URL": where.airflow_uri,
        "API__SECRET_KEY": keys["web"],
        "API__WORKERS": 1,
        "API_AUTH__JWT_SECRET": keys["jwt"],
        # A chained task starts in 0.2-0.6 s instead of 1.1-1.3 s.
        "SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": 0.1,
        # A finished task gives its slot back at once; at the default of 5 s, tasks with a response may fail.
        "WORKERS__MIN_HEARTBEAT_INTERVAL": 1,
        # Tasks of a killed scheduler are taken over within half a minute, not after five.
        "SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": 20,
        "SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": 60,
        # New and changed DAG files are read within seconds; unchanged ones are parsed again once a minute.
        "DAG_PROCESSOR__REFRESH_INTERVAL": 5,
        "DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": 60,
        "DAG_PROCESSOR__STALE_DAG_THRESHOLD": 120,
        "DAG_PROCESSOR__PARSING_PROCESSES": 1,
        "DAG_PROCESSOR__PRINT_STATS_INTERVAL": 0,
        # Else in the system's temporary folder, where the first user of the machine would own it.
        "DAG_PROCESSOR__DAG_BUNDLE_STORAGE_PATH": home / "dag_bundles",
        # Airflow gives its logs these whatever the umask is.
        "LOGGING__FILE_TASK_HANDLER_NEW_FOLDER_PERMISSIONS": oct(0o777 & ~mask),
        "LOGGING__FILE_TASK_HANDLER_NEW_FILE_PERMISSIONS": oct(0o666 & ~mask),
        "LOGGING__COLORED_CONSOLE_LOG": False,
        "USAGE_DATA_COLLECTION__ENABLED": False,
    }
    variables = {f"AIRFLOW__{name}": str(value) for name, value in options.items()}
    # For `airflow_local_settings.py`: Airflow adds only folders below AIRFLOW_HOME to the path.
    path = [str(config), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    return variables | {"AIRFLOW_HOME": str(home), "PYTHONPATH": os.pathsep.join(dict.fromkeys(path))}


def serving_environment() -> dict[str, str]:
    """The environment of the prediction server: the caller's, without Airflow's keys, and MLflow's login."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW_")}
    return inherited | _common()


def mlflow_environment() -> dict[str, str]:
    """`environment()` without Airflow's, and what only MLflow's server needs: its users' database and its secrets.

    Raises:
        ServiceUnavailable: the embedded PostgreSQL is not running.
    """
    folder = settings().home / "mlflow"
    folder.mkdir(parents=True, exist_ok=True)
    uri = postgres.url("mlflow").render_as_string(hide_password=False)
    config = folder / "auth.ini"
    write_private(config, mlflow_auth_config(uri))
    # Airflow's keys are none of its business, nor is a login: it is asked, and asks nobody.
    unneeded = ("AIRFLOW_", "MLFLOW_TRACKING_")
    own = {name: value for name, value in environment().items() if not name.startswith(unneeded)}
    return own | {
        # Not among the arguments, which everybody on the machine can read: it may contain a password.
        "MLFLOW_BACKEND_STORE_URI": uri,
        "MLFLOW_AUTH_CONFIG_PATH": str(config),
        "MLFLOW_AUTH_ADMIN_PASSWORD": login().password,
        "MLFLOW_FLASK_SERVER_SECRET_KEY": _keys()["web"],
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }


def mlflow_auth_config(uri: str) -> str:
    """The configuration file of MLflow's basic authentication, its users being in the database `uri`."""
    return (
        "[mlflow]\n"
        "default_permission = READ\n"
        # The parser expands `%`; addresses contain it.
        f"database_uri = {uri.replace('%', '%%')}\n"
        f"admin_username = {login().user}\n"
        "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n"
        # Checking a password costs 0.1 s of key stretching, on each of a run's dozens of requests.
        "auth_cache_ttl_seconds = 300\n"
    )


def write_airflow_login() -> None:
    """Hand the generated logins to Airflow's simple auth manager."""
    file = settings().home / "airflow" / "passwords.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    write_private(file, json.dumps({one.user: one.password for one in (*other_logins(), login())}))


def _keys() -> dict[str, str]:
    """Keys that sign tokens and encrypt connections: generated once, kept with mode 0600."""
    from cryptography.fernet import Fernet

    fresh = {"jwt": secrets.token_hex(64), "web": secrets.token_hex(32), "fernet": Fernet.generate_key().decode()}
    return write_once(settings().home / "keys.json", fresh)
