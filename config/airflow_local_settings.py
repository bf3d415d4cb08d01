"""Read by every Airflow process at its start."""

import logging

# Importing it under Airflow's logging prints hundreds of "Skipping registering function" lines into task logs.
logging.getLogger("great_expectations").setLevel(logging.WARNING)
