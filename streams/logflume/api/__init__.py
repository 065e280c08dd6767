"""The HTTP front of the explorer: questions in, answers out, for those who show a tenant's token."""
