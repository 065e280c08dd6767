"""What each stage may do in Kafka: one table, and what is made of it (commands, a page, a check at a start)."""

from logflume.kafka.rights.acl import Acl, acls, commands, stages
from logflume.kafka.rights.check import lacking, require
from logflume.kafka.rights.table import STAGES, Condition, Kind, Right

__all__ = ["STAGES", "Acl", "Condition", "Kind", "Right", "acls", "commands", "lacking", "require", "stages"]
