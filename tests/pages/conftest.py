"""Airflow on SQLite in a folder of its own, read by it when it is first imported."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

_HOME = Path(tempfile.mkdtemp(prefix="perennial-airflow-"))
_ROOT = Path(__file__).parents[2]
# Where other tests of this process have chosen, their Airflow serves too.
for _name, _value in {
    "AIRFLOW_HOME": str(_HOME),
    "AIRFLOW__CORE__DAGS_FOLDER": str(_ROOT / "dags"),
    "AIRFLOW__CORE__PLUGINS_FOLDER": str(_ROOT / "plugins"),
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{_HOME}/airflow.db",
    "AIRFLOW__DATABASE__LOAD_DEFAULT_CONNECTIONS": "False",
}.items():
    os.environ.setdefault(_name, _value)
os.environ.update(
    AIRFLOW__API_AUTH__JWT_SECRET="s" * 64,
    AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS="ada:admin,vera:viewer",
    AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE=str(_HOME / "passwords.json"),
)
(_HOME / "passwords.json").write_text('{"ada": "lovelace", "vera": "rubin"}')
