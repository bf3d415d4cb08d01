"""Perennial's own pages: what Airflow, MLflow and their libraries have no page for, made from what is in the lake."""
