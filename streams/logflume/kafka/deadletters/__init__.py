"""Dead letters: what could not be read, kept byte for byte with its coordinates and the reason (docs/deadletters.md).

``letter`` says what one is; ``messages`` and ``batch`` put letters into messages of their topic, ``reading`` takes them
out again, each once; ``filed`` reads the topic, and ``replay`` puts originals back on their ingest topics.
"""

from logflume.kafka.deadletters.batch import pack
from logflume.kafka.deadletters.letter import DeadLetter, deleted
from logflume.kafka.deadletters.messages import Message, Part, from_message, to_messages
from logflume.kafka.deadletters.reading import assemble

__all__ = ["DeadLetter", "Message", "Part", "assemble", "deleted", "from_message", "pack", "to_messages"]
