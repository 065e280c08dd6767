"""Where a query runs: a process of its own, that was handed what it may read and nothing else."""
