"""Says as an import error of Airflow why a use case has no DAGs: its files cannot be loaded.

The other files of this folder leave such a use case out, so that it does not stop the pipelines of the others.
"""

from perennial import orchestration as po

po.check_use_cases()
