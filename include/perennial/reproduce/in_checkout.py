"""Runs the command line of a checkout: `python -P in_checkout.py PROJECT CHECKOUT ARGUMENT...`.

A script, not imported: what it starts is the checkout's `perennial`. Whatever this interpreter would import from the
project (its own code, by an editable install or PYTHONPATH), it imports from the checkout instead.
"""

from __future__ import annotations

import runpy
import sys
from pathlib import Path


def main() -> None:
    """Run the checkout's command line in place of this interpreter's."""
    project, checkout = (Path(argument).resolve() for argument in sys.argv[1:3])
    environment = Path(sys.prefix).resolve()

    def moved(entry: str) -> str:
        path = Path(entry).resolve()
        kept = not entry or not path.is_relative_to(project)
        if kept or path.is_relative_to(environment) or path.is_relative_to(checkout):
            return entry
        return str(checkout / path.relative_to(project))

    sys.path[:] = dict.fromkeys([str(checkout / "include"), *map(moved, sys.path)])
    sys.argv[:] = ["perennial", *sys.argv[3:]]
    runpy.run_module("perennial.cli", run_name="__main__")


if __name__ == "__main__":
    main()
