"""Errors, typed by what to do about them.

A message names what it is about (tenant, dataset, topic, partition, offset, file, line) and what to do next; it never
holds a secret. Nothing is caught broadly but at a stage's outermost loop.
"""

from __future__ import annotations


class LogflumeError(Exception):
    """Base of every error that Logflume raises on purpose."""


class Retryable(LogflumeError):
    """Something outside failed (Kafka, the object store, a disk) and may work on another try."""


class Unavailable(Retryable):
    """Kafka did not take the records within the time given; they were not accepted."""


class OverLimit(Retryable):
    """A tenant sent more than its rate allows; the first ``accepted`` records of the call did go in, the rest did not.

    In ``retry_seconds`` there may be room.
    """

    def __init__(self, message: str, retry_seconds: float, accepted: int = 0) -> None:
        super().__init__(message)
        self.retry_seconds = retry_seconds
        self.accepted = accepted


class Unconfigured(Retryable):
    """This process has no configuration yet, and so can't tell who wants what: it waits, or keeps what comes."""


class Poison(LogflumeError):
    """Input that can never be read, whoever tries: it belongs to the dead letters.

    ``reason`` is one word from a small set (see ``logflume.block.reasons``), fit for a metric's label.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class Misconfigured(LogflumeError):
    """A setting, the contract or a tenant's file is wrong; the message names file, line and field."""


class Refused(LogflumeError):
    """A guard said no: carrying on could lose, repeat or mix up records."""


class Hole(Refused):
    """A sorted partition lacks a range that its sorter had produced before: nothing may be read past it."""


class Fatal(LogflumeError):
    """This process cannot keep its promises any more and must end; its successor starts from what is durable."""
