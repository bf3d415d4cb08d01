"""Clients of the services that run beside Perennial: PostgreSQL, and Airflow's REST API with its credentials."""
