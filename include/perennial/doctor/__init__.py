"""Checks whether everything that Perennial needs is there, and how to fix what is not: `perennial doctor`.

It only reads: it starts, writes and generates nothing, works before anything was ever started, and shows no secret. A
check is a function that yields findings; the modules group them by subject:

- `installation`, `configuration`, `ports`, `machine`, `use_cases`: Perennial itself and the machine;
- `postgres`, `stores`, `online_stores`, `web_servers`: the services that it needs;
- `airflow_and_feast`: what `use_cases` runs in processes of their own, because it imports Airflow or Feast;
- `examination`: runs all checks in parallel; `finding`, `report`: the results.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from perennial._common.lazy_imports import attributes_of

if TYPE_CHECKING:
    from perennial.doctor.examination import examine
    from perennial.doctor.finding import Check, Examination, Finding

__all__ = ["Check", "Examination", "Finding", "examine"]

__getattr__ = attributes_of(__name__, {".examination": ("examine",), ".finding": ("Check", "Examination", "Finding")})
