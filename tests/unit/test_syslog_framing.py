"""Syslog streams: the messages are the same however the stream is cut, and a long one costs bounded memory."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import example, given
from hypothesis import strategies as st

from logflume.edge.syslog.framing import Frame, Framer

LIMIT = 20

pieces = st.sampled_from(
    [
        *(b"<1>a", b"5 <1>ab", b"30 <1>" + b"c" * 27, b"12 x", b"9999999 <", b"99999999 <1>", b"\n", b"\r\n", b"\0"),
        *(b" ", b"7", b"0 <1>", b"x" * 19, b"y" * 20, b"z" * 21, b"w" * 60, b" " * 25, b"\n<2>b\n", b"3 <1>"),
    ]
)
streams = st.one_of(st.lists(pieces, max_size=12).map(b"".join), st.binary(max_size=200))


def _all(stream: bytes, cuts: list[int]) -> list[Frame]:
    framer = Framer(LIMIT)
    frames = []
    places = sorted({min(cut, len(stream)) for cut in cuts} | {0, len(stream)})
    for start, stop in pairwise(places):
        frames += framer.feed(stream[start:stop])
        assert framer.held <= LIMIT + 16
    return frames + framer.end()


@given(streams, st.lists(st.integers(0, 300), max_size=10))
@example(b"9 ", [1])
@example(b" " * 21 + b"\n", [20])
def test_however_a_stream_is_cut_the_same_messages_come_out(stream: bytes, cuts: list[int]) -> None:
    """FR1, FR2, FR3."""
    whole = _all(stream, [])
    assert _all(stream, cuts) == whole
    assert _all(stream, list(range(len(stream)))) == whole
    assert all(len(frame.message) <= LIMIT for frame in whole)


def test_counted_messages_and_lines_are_told_apart_one_by_one() -> None:
    stream = b"6 <1>a\nb<2>line\n5 <3>cd\n12 files\n<4>end"
    assert [frame.message for frame in _all(stream, [])] == [b"<1>a\nb", b"<2>line", b"<3>cd", b"12 files", b"<4>end"]


def test_a_nul_and_a_carriage_return_end_a_line_too() -> None:
    assert [frame.message.rstrip() for frame in _all(b"<1>a\0<2>b\r\n\r\n \n<3>c\0\n", [])] == [
        b"<1>a",
        b"<2>b",
        b"<3>c",
    ]


def test_of_a_message_beyond_the_limit_the_beginning_is_kept_and_the_rest_counted() -> None:
    counted = b"50 <1>" + b"c" * 47
    line = b"<2>" + b"d" * 37 + b"\n"
    frames = _all(counted + line + b"<3>after\n", [])
    assert frames == [Frame(b"<1>" + b"c" * 17, 30), Frame(b"<2>" + b"d" * 17, 20), Frame(b"<3>after")]


def test_a_counted_message_that_the_streams_end_cuts_is_kept_and_says_how_much_is_missing() -> None:
    assert _all(b"12 <1>half", []) == [Frame(b"<1>half", 5)]
    assert _all(b"100 <1>" + b"e" * 30, []) == [Frame(b"<1>" + b"e" * 17, 80)]
    assert _all(b"12 ", []) == [Frame(b"12 ")]


def test_a_count_that_no_honest_sender_has_is_a_line() -> None:
    assert _all(b"99999999 <1>a\n<2>b\n", []) == [Frame(b"99999999 <1>a"), Frame(b"<2>b")]


def test_a_slow_drip_of_a_long_line_is_searched_once() -> None:
    framer = Framer(1 << 20)
    for _ in range(1 << 14):
        assert framer.feed(b"abcdefgh" * 2) == []
    assert framer.feed(b"\n") == [Frame(b"abcdefgh" * (1 << 15))]
