"""Lines: what is a record in a text, its number, and where a piece may end."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from logflume.edge.lines import Lines

texts = st.lists(st.sampled_from([b"{}", b'{"a":1}', b"", b" ", b"\t\r", b"junk", b' {"b":2}', b"\r"]), max_size=30)


@given(texts, st.booleans(), st.integers(1, 1000))
def test_the_records_are_the_lines_that_are_not_blank_under_their_own_numbers(
    lines: list[bytes], ended: bool, first: int
) -> None:
    data = b"\n".join(lines) + (b"\n" if ended else b"")
    found = Lines(data, first)
    expected = [(number, line) for number, line in enumerate(data.split(b"\n"), first) if line.strip(b" \t\r")]
    assert len(found) == len(expected)
    assert found.numbers.tolist() == [number for number, _ in expected]
    assert [found.piece(i, i + 1) for i in range(len(found))] == [line + b"\n" for _, line in expected]


@given(texts, st.integers(1, 5), st.integers(1, 40))
def test_pieces_within_the_limits_put_the_text_together_again(lines: list[bytes], rows: int, size: int) -> None:
    found = Lines(b"\n".join(lines))
    at, pieces = 0, []
    while at < len(found):
        stop = found.fitting(at, rows, size)
        assert stop - at <= rows
        assert found.size(at, stop) <= size
        if stop == at:
            stop = at + 1  # one record larger than the limit
            assert found.size(at, stop) > size
        elif stop < len(found) and stop - at < rows:
            assert found.size(at, stop + 1) > size
        pieces.append(found.piece(at, stop))
        assert found.size(at, stop) == len(pieces[-1])
        at = stop
    assert b"".join(pieces) == found.data


def test_a_byte_order_mark_at_the_start_is_no_part_of_the_first_record() -> None:
    found = Lines(b'\xef\xbb\xbf{"a":1}\n\xef\xbb\xbf{}')
    assert found.piece(0, 1) == b'{"a":1}\n'
    assert found.piece(1, 2) == b"\xef\xbb\xbf{}\n"


def test_no_text_has_no_records() -> None:
    assert len(Lines(b"")) == len(Lines(b"\n \n")) == 0
