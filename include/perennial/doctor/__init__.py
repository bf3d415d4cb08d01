"""Is everything there that Perennial needs, and how to mend what is not: what `perennial doctor` runs.

It reads and asks; it starts, writes and generates nothing, works before anything was ever started, and never says a
secret. A check is a function that yields findings; the modules group them by subject:

- `installation`, `configuration`, `ports`, `machine`, `stores`, `web_servers`, `use_cases`: the checks;
- `heavy`: those that need Feast or Airflow, in processes of their own;
- `examination`: runs them side by side; `finding`, `report`: what comes out; `secrets`: what must not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from perennial._common.lazy_imports import attributes_of

if TYPE_CHECKING:
    from perennial.doctor.examination import examine
    from perennial.doctor.finding import Check, Examination, Finding

__all__ = ["Check", "Examination", "Finding", "examine"]

__getattr__ = attributes_of(__name__, {".examination": ("examine",), ".finding": ("Check", "Examination", "Finding")})
