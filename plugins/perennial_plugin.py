"""Hands Airflow the plugin of a Perennial that was installed before its entry point was declared.

Otherwise Airflow finds it by its entry point, `airflow.plugins`, and it must not be found here too.
"""

from importlib.metadata import distribution

if not distribution("perennial").entry_points.select(group="airflow.plugins"):
    from perennial.pages.plugin import PerennialPlugin

    __all__ = ["PerennialPlugin"]
