"""Logflume's own SQL functions, by themselves and in the engine."""

from __future__ import annotations

from typing import Any

import datafusion
import pyarrow as pa
import pytest

from logflume.explore import functions


def call(function: Any, values: list[str | None], other: str | None) -> list[Any]:
    found: list[Any] = function(pa.array(values, pa.string()), pa.array([other] * len(values), pa.string())).to_pylist()
    return found


@pytest.mark.parametrize(
    ("network", "inside", "outside"),
    [
        ("192.0.2.0/24", ["192.0.2.0", "192.0.2.255", "::ffff:192.0.2.7"], ["192.0.3.0", "2001:db8::1"]),
        ("192.0.2.9/24", ["192.0.2.1"], ["192.0.1.255"]),  # host bits are no mistake of the user's
        ("192.0.2.1", ["192.0.2.1"], ["192.0.2.2"]),
        ("2001:db8::/32", ["2001:db8::1", "2001:DB8:ffff::"], ["2001:db9::", "192.0.2.1", "::ffff:192.0.2.1"]),
        ("::ffff:0:0/96", ["::ffff:192.0.2.1"], ["2001:db8::1"]),
        (
            "0.0.0.0/0",
            ["255.255.255.255"],
            ["", "x", "1.2.3", "1.2.3.4/32", "01.2.3.4", " 1.2.3.4", "999.1.1.1", "1" * 99],
        ),
    ],
)
def test_an_address_is_in_its_network_and_what_is_none_is_in_no_network(
    network: str, inside: list[str | None], outside: list[str | None]
) -> None:
    assert call(functions.ip_in, inside, network) == [True] * len(inside)
    assert call(functions.ip_in, outside, network) == [False] * len(outside)
    assert call(functions.ip_in, [None], network) == [None]
    assert call(functions.ip_in, inside, None) == [None] * len(inside)


@pytest.mark.parametrize("network", ["", "x", "192.0.2.0/33", "2001:db8::/129", "192.0.2.0/24/1"])
def test_what_is_no_network_is_told(network: str) -> None:
    with pytest.raises(ValueError, match=r"is no network, such as 192.0.2.0/24 or 2001:db8::/32"):
        call(functions.ip_in, ["192.0.2.1"], network)


JSON = '{"a":{"b":[1,"x",{"c":true}],"":5},"n":null,"t":"é","f":1.50,"a b":{"ü":"y"}}'


@pytest.mark.parametrize(
    ("path", "text", "number"),
    [
        ("a.b[0]", "1", 1.0),
        (".a.b[1]", "x", None),
        ("a.b[2].c", "true", None),
        ("a.b", '[1,"x",{"c":true}]', None),
        ("f", "1.5", 1.5),
        ("t", "é", None),
        ("a b.ü", "y", None),
        ("n", None, None),
        ("a.b[3]", None, None),
        ("a[0]", None, None),
        ("a.b.x", None, None),
        ("[0]", None, None),
        ("t.x", None, None),
        ("a.b[99999999999999999999]", None, None),
    ],
)
def test_a_path_gives_what_stands_there(path: str, text: str | None, number: float | None) -> None:
    assert call(functions.json_text, [JSON, None], path) == [text, None]
    assert call(functions.json_number, [JSON, None], path) == [number, None]


@pytest.mark.parametrize("path", ["", ".", "a..b", "a.", "a[", "a[x]", "a[-1]", "a]", "[" + "9" * 5000 + "]"])
def test_what_is_no_path_is_told(path: str) -> None:
    with pytest.raises(ValueError):
        call(functions.json_text, [JSON], path)


def test_whole_numbers_past_64_bits_are_spelt_as_they_stand() -> None:
    big = '{"a":18446744073709551617,"l":[-1180591620717411303424,0.5],"huge":' + "9" * 400 + "}"
    assert call(functions.json_text, [big], "a") == ["18446744073709551617"]
    assert call(functions.json_text, [big], "l") == ["[-1180591620717411303424,0.5]"]
    assert call(functions.json_number, [big], "a") == [2.0**64]
    assert call(functions.json_number, [big], "huge") == [None]


def test_half_a_surrogate_pair_spoils_nothing_but_itself() -> None:
    hostile = '{"a":"x\\ud800y","b":{"c":"\\udc00"},"ok":"fine"}'
    assert call(functions.json_text, [hostile], "ok") == ["fine"]
    assert call(functions.json_text, [hostile], "a") == ["x\ufffdy"]
    assert call(functions.json_text, [hostile], "b") == ['{"c":"\ufffd"}']


@pytest.mark.parametrize("depth", [250, 300, 900, 1_100, 100_000])
def test_hostile_nesting_is_null_or_itself_and_never_an_error(depth: int) -> None:
    deep = '{"d":' + "[" * depth + "1" + "]" * depth + ',"ok":2}'
    text = call(functions.json_text, [deep, JSON], "d")
    assert text in ([deep[5:-8], None], [None, None])
    assert (text[0] is not None) or depth > 500
    assert call(functions.json_number, [deep, JSON], "f") == [None, 1.5]


@pytest.mark.parametrize(
    "text", ["", "x", "{", '{"a":NaN}', '{"a":Infinity}', '{"a":"\\ud800"', "1" * 5000, "null", '"a"']
)
def test_what_is_no_object_has_nothing_anywhere(text: str) -> None:
    assert call(functions.json_text, [text], "a") == [None]
    assert call(functions.json_number, [text], "a") == [None]


def test_they_run_in_the_engine_on_columns_and_on_literals() -> None:
    context = datafusion.SessionContext()
    functions.register(context)
    table = pa.table({"ip": ["192.0.2.1", None, "x"], "extra": [JSON, "{", None]})
    context.register_record_batches("t", [table.to_batches()])
    found = context.sql(
        "SELECT ip_in(ip, '192.0.2.0/24') a, json_text(extra, 't') b, json_number(extra, 'f') + 1 c, "
        "ip_in('10.0.0.1', '10.0.0.0/8') d, json_text('{\"x\":1}', 'x') e, ip_in(NULL, '::/0') f FROM t"
    ).to_arrow_table()
    assert found.to_pydict() == {
        "a": [True, None, False],
        "b": ["é", None, None],
        "c": [2.5, None, None],
        "d": [True] * 3,
        "e": ["1"] * 3,
        "f": [None] * 3,
    }
