"""How many incidents are open, by reason and severity."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence

from perennial import lake_cache
from perennial.alerts import incidents
from perennial.errors import PerennialError, ServiceUnavailable
from perennial.telemetry import catalogue as known
from perennial.telemetry.samples import Samples

log = logging.getLogger(__name__)
#: What tells whether an incident is open: without its evidence, which would be parsed at every scrape.
_COLUMNS = ("incident", "sequence", "event", "reason", "severity")


def of_use_cases(names: Sequence[str]) -> Samples:
    """A sample for each use case, reason and severity of which incidents are open; none where the lake does not answer.

    Args:
        names: Of the use cases; an empty one is the installation.
    """
    samples = Samples()
    tables = {name: incidents.table(name) for name in names}
    try:
        rows = lake_cache.records(list(tables.values()), dict.fromkeys(tables.values(), _COLUMNS))
    except PerennialError as error:
        if isinstance(error, ServiceUnavailable) or len(names) <= 1:
            log.warning("Incidents are not shown: %s", error.problem)
            return samples
        for name in names:  # A damaged table of one hides no other.
            samples.extend(of_use_cases([name]))
        return samples
    for name, table in tables.items():
        newest = {row["incident"]: row for row in sorted(rows[table], key=lambda row: row["sequence"])}
        is_open = (row for row in newest.values() if row["event"] != incidents.CLOSED)
        counts = Counter((row["reason"], row["severity"]) for row in is_open)
        for (reason, severity), many in sorted(counts.items()):
            samples.add(known.INCIDENTS, many, name, reason, severity)
    return samples
