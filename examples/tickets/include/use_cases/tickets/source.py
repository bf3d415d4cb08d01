"""Support tickets of a shop in 2025, made up here: the same ones whenever a week is asked for."""

from datetime import UTC, date, datetime, time, timedelta

import numpy as np
import pyarrow as pa

from perennial import Partition

A_DAY = 60
TEAMS = ("billing", "delivery", "technical", "fraud", "migration", "subscriptions")
PRODUCTS, CHANNELS = ("books", "games", "phones", "shoes"), ("chat", "mail", "phone")
#: By team: how likely each product and channel is, words on average, attachments on average, mean amount in euros.
HABITS = {
    "billing": ((4, 2, 2, 2), (2, 5, 3), 60, 0.5, 60),
    "delivery": ((3, 2, 1, 4), (3, 2, 5), 35, 0.1, 40),
    "technical": ((0.3, 4, 6, 0.2), (5, 3, 2), 110, 1.2, 200),
    "fraud": ((1, 2, 5, 1), (1, 6, 3), 90, 2.0, 700),
    "migration": ((1, 1, 1, 1), (0.3, 9, 0.7), 150, 3.0, 20),
    "subscriptions": ((5, 5, 0.2, 0.2), (6, 3, 1), 45, 0.1, 12),
}


def tickets(partition: Partition) -> pa.Table:
    """What was opened in the partition, with the team that has solved it and when."""
    days = range((partition.end - partition.start).days)
    return pa.Table.from_pylist(
        [row for day in days for row in _of_day((partition.start + timedelta(days=day)).date())], schema=SCHEMA
    )


SCHEMA = pa.schema(
    {
        **dict.fromkeys(("ticket", "product", "channel", "team"), pa.string()),
        **dict.fromkeys(("words", "attachments"), pa.int64()),
        "amount": pa.float64(),
        **dict.fromkeys(("opened_at", "solved_at"), pa.timestamp("us", tz="UTC")),
    }
)


def _of_day(day: date) -> list[dict[str, object]]:
    random = np.random.default_rng(day.toordinal())
    share = {"billing": 0.35, "delivery": 0.33, "technical": 0.3, "fraud": 0.02}
    if day < date(2025, 1, 16):
        share["migration"] = 0.12
    if day >= date(2025, 2, 12):
        share["subscriptions"] = 0.2
    odds = np.array([share.get(team, 0.0) for team in TEAMS])
    rows = []
    for number, place in enumerate(random.choice(len(TEAMS), size=A_DAY, p=odds / odds.sum())):
        products, channels, words, attachments, amount = HABITS[TEAMS[place]]
        opened = datetime.combine(day, time(), UTC) + timedelta(seconds=int(random.integers(86_400)))
        rows.append(
            {
                "ticket": f"{day:%Y%m%d}-{number:03}",
                "product": random.choice(PRODUCTS, p=np.array(products) / sum(products)),
                "channel": random.choice(CHANNELS, p=np.array(channels) / sum(channels)),
                "words": int(random.gamma(2, words / 2)) + 3,
                "attachments": int(random.poisson(attachments)),
                "amount": round(float(random.gamma(2, amount / 2)), 2),
                "team": TEAMS[place],
                "opened_at": opened,
                "solved_at": opened + timedelta(hours=int(random.integers(1, 30))),
            }
        )
    return rows
