"""Where messages wait on disk while Kafka is away, and how it is found out after a crash what Kafka has of them.

``Spool.open(folder, …)`` gives the spool of one process; ``put(messages, marks)`` is durable when it returns.
"""

from logflume.edge.spool.message import Message
from logflume.edge.spool.records import Sent
from logflume.edge.spool.spool import Spool

__all__ = ["Message", "Sent", "Spool"]
