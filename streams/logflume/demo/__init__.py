"""The demo: traffic with the shapes of the real thing, the main job run on it, and a count that trusts no stage."""
