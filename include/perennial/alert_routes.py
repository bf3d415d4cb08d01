"""What a route of alerts is: who is told of which incidents, how, and when. `PERENNIAL_ALERT_ROUTES` is a list of them.

A route names an Airflow connection; addresses with secrets, tokens and passwords are only there.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, time, timedelta
from typing import Annotated, Literal, get_args
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator, model_validator

Notifier = Literal["smtp", "slack", "pagerduty", "teams", "webhook", "apprise"]
Severity = Literal["critical", "warning", "info"]
#: The most serious first.
SEVERITIES: tuple[Severity, ...] = get_args(Severity)
#: The extra with Airflow's providers for all of them, and which of these each needs.
EXTRA = "alerts"
PROVIDERS: dict[Notifier, str] = {
    "smtp": "apache-airflow-providers-smtp",
    "slack": "apache-airflow-providers-slack",
    "pagerduty": "apache-airflow-providers-pagerduty",
    "teams": "apache-airflow-providers-http",
    "webhook": "apache-airflow-providers-http",
    "apprise": "apache-airflow-providers-apprise",
}
_MAIL_ADDRESS = re.compile(r"[^\s@<>,;:\"()\[\]\\]+@[^\s@<>,;:\"()\[\]\\]+")
_TimeOfDay = Annotated[str, StringConstraints(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class QuietHours(_Strict):
    """The hours in which a route keeps what is not critical until they end, by the clock on the wall."""

    begin: _TimeOfDay = Field(description="When they begin, `22:00`; included.")
    end: _TimeOfDay = Field(description="When they end, `07:00`, on the next day if that is not later; not included.")
    time_zone: str = Field(description="The time zone of both, by its IANA name: `Europe/Berlin`.")

    @field_validator("time_zone")
    @classmethod
    def _is_known(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (OSError, ValueError):  # ZoneInfoNotFoundError is a KeyError.
            raise ValueError(f"{value!r} is not the name of a time zone, such as Europe/Berlin") from None
        except KeyError:
            raise ValueError(f"there is no time zone {value!r}; names are like Europe/Berlin or UTC") from None
        return value

    @model_validator(mode="after")
    def _is_a_part_of_the_day(self) -> QuietHours:
        if self.begin == self.end:
            raise ValueError("begin and end are the same; leave `quiet` out, or name two times")
        return self

    def include(self, moment: datetime) -> bool:
        """Whether it is quiet at a moment (with a time zone): a clock of that place shows one of these hours."""
        shown = moment.astimezone(ZoneInfo(self.time_zone)).time()
        begin, end = time.fromisoformat(self.begin), time.fromisoformat(self.end)
        return begin <= shown < end if begin < end else shown >= begin or shown < end

    def over_at(self, moment: datetime) -> datetime:
        """The first minute (UTC) from a moment on in which it is not quiet; at most about a day later."""
        minute = moment.astimezone(UTC)
        while self.include(minute):
            minute = (minute + timedelta(minutes=1)).replace(second=0, microsecond=0)
        return minute


class AlertRoute(_Strict):
    """One way on which people are told of incidents."""

    name: str = Field(
        pattern=r"^[a-z][a-z0-9_-]{0,39}$",
        description="Its name: small letters, digits, `-` and `_`. Under another name it is another route, which has"
        " told nothing yet.",
    )
    notifier: Notifier = Field(description="What it speaks: see the table of notifiers.")
    connection: str = Field(
        pattern=r"^[A-Za-z0-9_.-]{1,200}$", description="The id of the Airflow connection with address and secrets."
    )
    to: list[str] = Field(default_factory=list, description="Of `smtp`, which needs it: the recipients' addresses.")
    severity: Severity = Field(
        default="warning", description="Incidents at least this serious: `critical`, `warning` or `info`."
    )
    use_cases: list[str] = Field(
        default_factory=list,
        description="Only incidents of these use cases, and so none of the installation. Empty: of all, and those.",
    )
    owners: list[str] = Field(
        default_factory=list,
        description="Only incidents of use cases with one of these owners. Empty: of all. With `use_cases`, both hold.",
    )
    quiet: QuietHours | None = Field(
        default=None, description="Hours in which only critical incidents are told; the others wait until they end."
    )
    per_hour: int = Field(
        default=20, ge=1, le=1000, description="At most so many messages in an hour; what exceeds them is summed up."
    )

    @field_validator("to")
    @classmethod
    def _are_addresses(cls, value: list[str]) -> list[str]:
        if wrong := [each for each in value if not _MAIL_ADDRESS.fullmatch(each) or not each.isprintable()]:
            raise ValueError(f"{wrong[0]!r} is not a mail address: write name@example.com")
        return value

    @model_validator(mode="after")
    def _has_recipients(self) -> AlertRoute:
        if (self.notifier == "smtp") != bool(self.to):
            wrong = (
                "needs `to`, a list of mail addresses" if not self.to else f"is {self.notifier}, and only smtp has `to`"
            )
            raise ValueError(f"route {self.name!r} {wrong}")
        return self


def check_names(routes: list[AlertRoute]) -> list[AlertRoute]:
    """The same routes, each with a name of its own.

    Raises:
        ValueError: two have the same name.
    """
    names = [each.name for each in routes]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"two routes are called {twice[0]!r}; give each a name of its own")
    return routes
