"""A ticket's team is known when it is solved; what a product's tickets were about lately is known from those."""

from datetime import timedelta

import ibis

from perennial.transforms import rolling_means

WEEK = {"7d": timedelta(days=7)}


def product_lately(tickets: ibis.Table) -> ibis.Table:
    """Of the tickets of a product that were solved within a week: how many words, and the share of some teams."""
    shares = {name: (tickets.team == name).cast("float64") for name in ("technical", "delivery", "subscriptions")}
    return rolling_means(tickets, "product", tickets.solved_at, WEEK, {"words": tickets.words, **shares})


def examples(tickets: ibis.Table) -> ibis.Table:
    """Each ticket when it is opened; its label is the name of the team."""
    return tickets.select(
        *("ticket", "product", "channel", "words", "attachments", "amount"),
        event_timestamp=tickets.opened_at,
        label=tickets.team,
        label_timestamp=tickets.solved_at,
    )
