"""The API that Cloudflare publishes for logs, under ``/client/v4``: its paths, parameters and envelope, our tables.

Checked against its description as PyPI's ``cloudflare`` 5.9 has it, and tested with that client.
"""
