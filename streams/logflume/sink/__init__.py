"""The sink: reads sorted partitions and brings each tenant's rows to rest in its Delta table, each exactly once."""
