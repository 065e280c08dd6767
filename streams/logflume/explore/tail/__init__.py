"""Follow a tenant's rows as they are sorted."""
