"""Monitoring: drift and live performance of a scored partition, a verdict, and maybe a request for retraining."""
