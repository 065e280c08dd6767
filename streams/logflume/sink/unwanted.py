"""Rows that no table wants: kept as dead letters, never dropped in silence."""

from __future__ import annotations

from logflume.block import reasons
from logflume.formats.records import to_ndjson
from logflume.kafka.deadletters import DeadLetter
from logflume.kafka.reader import SortedBlock
from logflume.sink.held import Run


def letter(block: SortedBlock, run: Run) -> DeadLetter:
    """Return the dead letter of one run: its rows as NDJSON, at the sorted message's coordinates.

    ``row`` is the number of its first row among those of the message that had not been read before.
    """
    return DeadLetter(
        reason=reasons.UNWANTED,
        stage="sink",
        tenant=run.tenant,
        dataset=block.dataset,
        raw=to_ndjson(block.batch.slice(run.start, run.rows)),
        detail=f"{run.rows} rows: the configuration has no dataset {block.dataset} for the tenant",
        topic=block.topic,
        topic_id=block.topic_id,
        partition=block.partition,
        offset=block.offset,
        row=run.start,
    )
