"""The edge's HTTP server: records by POST, in our own protocol and in those that agents speak."""
