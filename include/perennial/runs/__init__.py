"""Runs of the pipelines in Airflow, from outside: start one, replay history, preview that, and follow along."""
