"""Search a tenant's tables: SQL, and one record by its id."""
