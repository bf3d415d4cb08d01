"""What monitoring tools of machines read: metrics of the pipelines for Prometheus, and its rules and a dashboard."""
