"""Finds the files of a place (a disk, S3, the web, a Python package) and brings here what is elsewhere or packed."""

from __future__ import annotations

import re
import tempfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from perennial.errors import BadBatch
from perennial.sources import web, web_address
from perennial.sources.listing import MAGIC, S3, DataFile, Listing, list_files
from perennial.sources.typed import Named

PACKAGE = "package://"
#: What to do about a file that is damaged or not there as a whole.
AGAIN = "Fetch the file again, then clear the failed task; nothing of it was written."


@dataclass(frozen=True)
class Delivery:
    """A place where the files of a use case are delivered.

    Attributes:
        use_case: Its name, for errors.
        place: A path, a pattern, or an address: see `sources.Files`.
        format: Of the files.
        variable: The environment variable that names another place, for errors; empty: none does.
    """

    use_case: str
    place: str
    format: web.Format
    variable: str = ""

    @contextmanager
    def listed(self, file: str) -> Iterator[tuple[Listing, dict[str, str]]]:
        """The files to read, and what people call those whose address is of a copy; to be used inside the block.

        Args:
            file: The name of a file in the place; empty: the place is a file, a folder or a pattern of files itself.

        Raises:
            BadBatch: there is no file, or one that cannot be listed or unpacked, or one is there twice.
            ServiceUnavailable: the server of an address does not answer, again and again.
        """
        place = self.place
        address = f"{place.rstrip('/')}/{file}" if file else place
        with ExitStack() as stack:
            if web_address.is_address(place):
                fetched = stack.enter_context(web.local(address, self.format))
                yield Listing((DataFile(fetched),)), {fetched: web_address.shown(address)}
                return
            if place.startswith(S3):
                yield self._checked(list_files(address, self.format), address), {}
                return
            path = (self._in_package(place) if place.startswith(PACKAGE) else Path(place)) / file
            zipped = path.with_name(f"{path.name}.zip")
            if not path.exists() and zipped.is_file():
                folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="perennial-files-")))
                unpacked = self._unpacked(zipped, path.name, folder)
                yield Listing((DataFile(unpacked),)), {unpacked: str(zipped)}
                return
            if not path.exists() and not MAGIC.search(str(path)):
                raise BadBatch(f"Use case {self.use_case!r}: there is no file {path}.", f"Deliver it{self._elsewhere}.")
            try:
                listing = list_files(str(path), self.format)
            except OSError as error:
                raise BadBatch(f"{Named(self.use_case, str(path))} cannot be listed: {error}.", AGAIN) from error
            yield self._checked(listing, str(path)), {}

    def _checked(self, listing: Listing, place: str) -> Listing:
        unpacked = Counter(re.sub(r"\.(gz|zst|bz2)$", "", each.address.lower()) for each in listing.files)
        twice = [address for address, count in unpacked.items() if count > 1]
        if twice:
            raise BadBatch(
                f"{Named(self.use_case, place)} holds {Path(twice[0]).name} more than once: packed and not, or in small"
                " letters and in capitals.",
                "Keep one of them, so that no row is read twice.",
            )
        if listing.files:
            return listing
        if list(listing.left_out) == [place]:
            raise BadBatch(f"{Named(self.use_case, place)} {listing.left_out[place]}.", AGAIN)
        others = "; ".join(f"{address} {why}" for address, why in list(listing.left_out.items())[:5])
        raise BadBatch(
            f"Use case {self.use_case!r}: there is no file {place} in format {self.format} that is read."
            + (f" {others}." if others else ""),
            f"Deliver it{self._elsewhere}.",
        )

    def _unpacked(self, zipped: Path, name: str, folder: Path) -> str:
        try:
            with zipfile.ZipFile(zipped) as archive:
                return archive.extract(name, folder)
        except (zipfile.BadZipFile, zlib.error, EOFError, KeyError) as error:
            what = f"is truncated or not a zip file holding {name} ({error})"
            raise BadBatch(f"{Named(self.use_case, str(zipped))} {what}.", AGAIN) from error

    def _in_package(self, place: str) -> Path:
        """The folder in a package, which is not imported: its files need none of its code."""
        name, _, folder = place.removeprefix(PACKAGE).partition("/")
        package = find_spec(name)
        if package is None or not package.submodule_search_locations:
            raise BadBatch(
                f"Use case {self.use_case!r}: the package {name!r}, which holds the data, is not installed.",
                f"Install it{self._elsewhere}.",
            )
        return Path(package.submodule_search_locations[0]) / folder

    @property
    def _elsewhere(self) -> str:
        return f", or point {self.variable} at the right place" if self.variable else ""
