"""The generated login: one user, one random password, for Airflow's and MLflow's pages and REST APIs."""

from __future__ import annotations

import json
import os
import secrets
from dataclasses import dataclass, field
from pathlib import Path

from perennial.errors import PerennialError
from perennial.settings import settings

USER = "admin"


@dataclass(frozen=True)
class Login:
    """A user and a password. The password stays out of `repr`, hence out of logs."""

    user: str
    password: str = field(repr=False)


def path() -> Path:
    """The file with the generated login, readable by its owner only."""
    return settings().home / "login.json"


def login() -> Login:
    """The login for Airflow and MLflow: `PERENNIAL_USER` and `PERENNIAL_PASSWORD` if set, else the generated one.

    Generated on first use and never changed; two processes that generate at once agree on one.

    Raises:
        PerennialError: The file is not as `perennial up` wrote it.
    """
    if password := os.environ.get("PERENNIAL_PASSWORD"):
        return Login(os.environ.get("PERENNIAL_USER", USER), password)
    written = write_once(path(), {"user": USER, "password": secrets.token_urlsafe(18)})
    try:
        return Login(written["user"], written["password"])
    except KeyError as error:
        raise PerennialError(
            f"{path()} has no field {error.args[0]!r}.",
            f"Restore it, or delete {settings().home} to start over (this deletes all data).",
        ) from error


def other_logins() -> list[Login]:
    """The logins of `PERENNIAL_USERS` on the embedded Airflow, each generated when first needed and then kept."""
    folder = settings().home / "logins"
    logins = []
    for user in settings().users:
        if user != login().user:
            written = write_once(folder / f"{user}.json", {"password": secrets.token_urlsafe(18)})
            logins.append(Login(user, written["password"]))
    return logins


def existing_login() -> Login | None:
    """The login if there is one already; nothing is generated."""
    return login() if os.environ.get("PERENNIAL_PASSWORD") or path().exists() else None


def write_once(file: Path, content: dict[str, str]) -> dict[str, str]:
    """The content of `file` (JSON); if it does not exist, `content` is first written to it, atomically, with mode 0600.

    Args:
        file: The file; its folder is created if necessary.
        content: Ignored if the file exists, also if another process created it just before.

    Raises:
        PerennialError: The file is not JSON.
    """
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not file.exists():
        draft = file.with_name(f".{file.name}.{os.getpid()}")
        write_private(draft, json.dumps(content))
        try:
            os.link(draft, file)  # Unlike a rename, fails if another process was first.
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    try:
        return dict(json.loads(file.read_text()))
    except (ValueError, TypeError) as error:
        raise PerennialError(f"{file} is not readable as JSON: {error}.", "Restore it or delete it.") from error


def write_private(file: Path, content: str) -> None:
    """Write `file` so that only its owner can ever read it.

    Args:
        file: In an existing folder. An existing file is replaced, whatever its mode, and never written through a link.
        content: Its whole text.
    """
    draft = file.with_name(f".{file.name}.{os.getpid()}.private")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
        stream.write(content)
    draft.replace(file)
