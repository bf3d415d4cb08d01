"""Checks for `perennial doctor` that the files of each use case's sources are there and may be read."""

from __future__ import annotations

import os
from collections.abc import Iterator

from perennial import discovery
from perennial.doctor.finding import Finding, not_applicable, passed, warning
from perennial.errors import PerennialError
from perennial.ingestion import places
from perennial.sources import web_address
from perennial.sources.database_table import DatabaseTable
from perennial.sources.delivery import Delivery
from perennial.sources.files import Files
from perennial.sources.listing import S3


def sources() -> Iterator[Finding]:
    """How many files each source of each use case would read here. Nothing is fetched."""
    for use_case in discovery.names():
        try:
            declared = vars(discovery.load(use_case).module("source"))
        except PerennialError:
            continue  # The check of the use case reports it.
        for name, source in declared.items():
            if isinstance(source, Files | DatabaseTable):
                yield _of(f"{use_case} source {name}", source)


def _of(name: str, source: Files | DatabaseTable) -> Finding:
    place = places.find(source.variable, source.default)
    shown = places.shown(place)
    if isinstance(source, DatabaseTable) or web_address.is_address(place):
        return not_applicable(name, f"{shown} is not on this machine; the first run reads it")
    try:
        with Delivery(source.use_case, place, source.format, source.variable).listed("") as (listing, _):
            files = listing.files
    except PerennialError as error:
        return warning(name, error.problem, error.fix)
    except OSError as error:  # S3 does not answer, or refuses.
        return warning(name, f"{shown} cannot be listed: {error}", "Check the address, and the environment's AWS_*.")
    closed = [] if place.startswith(S3) else [each.address for each in files if not os.access(each.address, os.R_OK)]
    if closed:
        more = f" and {len(closed) - 1} more" if len(closed) > 1 else ""
        fix = "Give this account the right to read them."
        return warning(name, f"{closed[0]}{more}, of {len(files)} files, may not be read", fix)
    # A file that is there only packed as a zip is unpacked when it is asked for by its name.
    zipped = sum(address.lower().endswith(f".{source.format}.zip") for address in listing.left_out)
    return passed(name, f"{len(files) + zipped:,} files in {shown}")
