"""Formats out: columns in, the bytes of a job's object out."""

from logflume.formats.out.encode import encode, select

__all__ = ["encode", "select"]
