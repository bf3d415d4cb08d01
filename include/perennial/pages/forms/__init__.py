"""The forms of actions: what a person reads before they act, and what of it goes to Airflow."""
