"""Watching the pipeline: how late each stage is, what its workers say, and the pressure that edges follow."""
