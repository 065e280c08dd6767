"""Where a job's objects come to rest: a folder, or a bucket. One interface, kept by one contract test suite."""

from logflume.destinations.destination import Destination, Receipt
from logflume.destinations.opening import open_destination

__all__ = ["Destination", "Receipt", "open_destination"]
