"""What Prometheus is told to watch over: alerts, each with its runbook, and the series that they are made of."""
