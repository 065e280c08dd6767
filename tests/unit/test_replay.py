"""What goes back to the ingest topics: the record as it came, with the letter's id and where it came in first."""

from __future__ import annotations

from dataclasses import replace

import pytest

from logflume.block import reasons
from logflume.kafka.deadletters import DeadLetter, deleted
from logflume.kafka.deadletters.original import NO_CORRECTION, Correction, Original, Stays, originals

BLOCK = DeadLetter(
    reason="block-arrow",
    stage="sort",
    tenant=None,
    dataset="events",
    raw=b"no arrow",
    topic="logflume.ingest.events",
    topic_id="id",
    partition=3,
    offset=17,
    key=None,
    headers=(("logflume-block", b"1"), ("dataset", b"other")),
)
PLAIN = replace(BLOCK, reason="not-json", tenant="acme", raw=b"{oops", key=b"acme", headers=(("trace", b"\xff"),))


def back(letter: DeadLetter, correction: Correction = NO_CORRECTION) -> list[Original]:
    return originals(letter, letter.id, correction)


def came_from(original: Original) -> dict[str, bytes | None]:
    return {name: value for name, value in original.headers if name.startswith("replay-")}


def test_a_whole_message_goes_back_with_its_own_key_and_headers_and_says_where_it_came_from() -> None:
    [plain] = back(PLAIN)
    assert (plain.dataset, plain.key, plain.value, plain.headers[0]) == (
        "events",
        b"acme",
        b"{oops",
        ("trace", b"\xff"),
    )
    assert came_from(plain) == {
        "replay-letter": PLAIN.id.encode(),
        "replay-topic-id": b"id",
        "replay-partition": b"3",
        "replay-offset": b"17",
    }
    [block] = back(BLOCK)
    assert (block.key, block.value, list(block.headers[:2])) == (None, b"no arrow", list(BLOCK.headers))


def test_a_batch_that_nobody_can_take_apart_stays() -> None:
    """Its bytes as a message would only become another letter, at each replay."""
    with pytest.raises(Stays, match="nobody can take apart"):
        back(replace(PLAIN, reason=reasons.UNREADABLE), Correction(tenant="acme"))


def test_a_block_may_go_to_another_dataset_and_to_no_other_tenant() -> None:
    [block] = back(BLOCK, Correction(dataset="other"))
    assert (block.dataset, list(block.headers[:2])) == ("other", list(BLOCK.headers))
    with pytest.raises(Stays, match="names its tenants itself"):
        back(BLOCK, Correction(tenant="acme"))


def test_a_correction_outweighs_what_the_message_said() -> None:
    said = replace(PLAIN, headers=(("tenant", b"wrong"), ("dataset", b"wrong"), ("x", b"1")))
    [plain] = back(said, Correction("bell", "dns_logs"))
    assert (plain.dataset, plain.key, plain.headers[0]) == ("dns_logs", b"bell", ("x", b"1"))
    assert not {"tenant", "dataset"} & {name for name, _ in plain.headers}
    [kept] = back(said)
    assert ("tenant", b"wrong") in kept.headers


def test_a_record_of_an_edge_goes_back_as_a_plain_one_of_its_tenant() -> None:
    [plain] = back(DeadLetter("not-json", "edge", "acme", "events", b"oops", row=5, edge="here/1"))
    assert (plain.key, plain.value) == (b"acme", b"oops")
    assert came_from(plain).keys() == {"replay-letter", "replay-row", "replay-edge"}


def test_a_row_of_a_block_whose_tenant_is_impossible_goes_back_under_a_name_given() -> None:
    row = replace(BLOCK, reason=reasons.BAD_TENANT, row=4, raw=b'{"_tenant":"../x","n":123456789012345678901234567890}')
    with pytest.raises(Stays, match="no tenant"):
        back(row)
    [plain] = back(row, Correction(tenant="acme"))
    assert (plain.key, plain.value) == (b"acme", b'{"n":123456789012345678901234567890}')
    assert came_from(plain)["replay-row"] == b"4"


def test_the_rows_of_a_run_that_nobody_wanted_go_back_one_by_one() -> None:
    run = DeadLetter(
        reasons.UNWANTED, "sink", "acme", "events", b'{"m":"a\\r"}\n{"m":"b"}\n', "", "sorted", "sid", 1, 9, 100
    )
    rows = back(run)
    assert [(row.key, row.value) for row in rows] == [(b"acme", b'{"m":"a\\r"}'), (b"acme", b'{"m":"b"}')]
    assert [came_from(row)["replay-row"] for row in rows] == [b"100", b"101"]


def test_what_failed_again_names_its_letter_and_keeps_the_place_where_it_came_in_first() -> None:
    [first] = back(PLAIN)
    again = replace(PLAIN, offset=99, headers=tuple(first.headers))
    assert again.replay_of == PLAIN.id
    assert again.id != PLAIN.id
    [second] = back(again)
    assert came_from(second) == came_from(first) | {"replay-letter": again.id.encode()}
    assert len(second.headers) == len(first.headers)


@pytest.mark.parametrize(
    ("letter", "why"),
    [
        (deleted("sort", "events", "t", "id", 0, 1, 2), "nothing is left"),
        (DeadLetter("foreign", "unknown", None, None, b"x"), "no dead letter"),
        (replace(PLAIN, apart=True), "a letter of their own"),
        (replace(PLAIN, dataset=None), "no dataset"),
    ],
)
def test_what_cannot_go_back_says_why(letter: DeadLetter, why: str) -> None:
    with pytest.raises(Stays, match=why):
        back(letter)
