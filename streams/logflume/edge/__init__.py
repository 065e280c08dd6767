"""Publishing from an application: ``Client`` for records of any kind, ``LogHandler`` for Python's logging."""

from logflume.edge.admission import Accepted
from logflume.edge.client import Client
from logflume.edge.handler import LogHandler
from logflume.edge.intake import NotAccepted
from logflume.edge.packing import BadRecord
from logflume.edge.spool import Message, Spool

__all__ = ["Accepted", "BadRecord", "Client", "LogHandler", "Message", "NotAccepted", "Spool"]
