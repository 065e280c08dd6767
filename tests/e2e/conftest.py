"""A pipeline of one's own for each test of the whole way."""

from tests.support.pipeline import pipeline

__all__ = ["pipeline"]
