"""Whether a component of Airflow is alive, by its heartbeat as the API server tells it: `health.py dag_processor`.

For health checks: `airflow jobs check` answers the same after seconds of importing Airflow, a hundred times more.
"""

from __future__ import annotations

import json
import os
import sys
import urllib.request


def main() -> None:
    """Exit with 0 if the component that the argument names is healthy."""
    component = sys.argv[1]
    address = f"{os.environ['PERENNIAL_AIRFLOW_URI']}/api/v2/monitor/health"
    with urllib.request.urlopen(address, timeout=10) as answer:  # noqa: S310 - the address is ours
        status = json.load(answer)[component]["status"]
    if status != "healthy":
        sys.exit(f"{component} is {status}")


if __name__ == "__main__":
    main()
