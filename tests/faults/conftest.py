"""A pipeline of one's own for each fault test."""

from tests.support.pipeline import pipeline

__all__ = ["pipeline"]
