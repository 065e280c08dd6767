"""Follows files into the spool, each line exactly once: see ``follower`` for the promises."""
