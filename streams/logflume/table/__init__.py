"""A tenant's Delta table: append, schema, probe, snapshot."""
