"""How fast the main job is, and what it costs: ``make bench``."""
