"""What an endpoint says of itself for the OpenAPI document: beside it, so that who changes one sees the other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from logflume.explore.filters import MOST_CONDITIONS

Schema = Mapping[str, Any]
E = TypeVar("E", bound=Callable[..., Any])

_ATTRIBUTE: Final = "described"
_MOST_TEXT: Final = 1_000


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter: where it stands (``path``, ``query``, ``header``) and what it may be.

    ``as_json``: its text is JSON, of which ``schema`` says what it may be.
    """

    name: str
    schema: Schema
    description: str = ""
    at: str = "query"
    as_json: bool = False
    required: bool = False


@dataclass(frozen=True, slots=True)
class Described:
    """One endpoint. ``answers``: by status the schema of its JSON, or None where there is no body.

    ``problems``: the statuses of what can go wrong, besides those that are everywhere. ``forms``: media types besides
    JSON in which a 200 comes; ``headers``: of a 200, and what they say. ``media``: what a 200 is when it is no JSON.
    """

    summary: str
    parameters: tuple[Parameter, ...] = ()
    body: Mapping[str, Schema] = field(default_factory=dict)
    answers: Mapping[int, Schema | None] = field(default_factory=dict)
    problems: tuple[int, ...] = ()
    forms: tuple[str, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    media: str = ""


def described(summary: str, **about: Any) -> Callable[[E], E]:
    """Say of an endpoint what it is (see ``Described``)."""
    said = Described(summary, **about)

    def mark(endpoint: E) -> E:
        setattr(endpoint, _ATTRIBUTE, said)
        return endpoint

    return mark


def of(endpoint: Callable[..., Any]) -> Described | None:
    """Return what an endpoint says of itself."""
    found: Described | None = getattr(endpoint, _ATTRIBUTE, None)
    return found


# --- schemas ----------------------------------------------------------------------------------------------------------


def ref(name: str) -> Schema:
    """Return a reference to one of ``SCHEMAS``."""
    return {"$ref": f"#/components/schemas/{name}"}


def thing(required: Mapping[str, Any], **optional: Any) -> Schema:
    """Return the schema of an object whose members are all there, but for the optional ones."""
    return {"type": "object", "properties": {**required, **optional}, "required": list(required)}


def array(items: Schema) -> Schema:
    """Return the schema of a list."""
    return {"type": "array", "items": items}


def nullable(type: str) -> Schema:
    """Return the schema of what may be missing."""
    return {"type": [type, "null"]}


TEXT: Final[Schema] = {"type": "string"}
NUMBER: Final[Schema] = {"type": "integer", "minimum": 0}
FLAG: Final[Schema] = {"type": "boolean"}
DAY: Final[Schema] = {"type": "string", "format": "date"}
COUNTS: Final[Schema] = array(NUMBER)
RECORD: Final[Schema] = {"type": "object", "additionalProperties": True}
WHEN: Final[Schema] = {"type": "string", "maxLength": 40}
FREE: Final[Schema] = {"type": "string", "maxLength": _MOST_TEXT}

SINCE: Final = Parameter("since", WHEN, "From this time on: `2026-11-29T10:00Z`, `15m` (ago), `now` or `beginning`.")
UNTIL: Final = Parameter("until", WHEN, "Before this time, likewise.")
WHERE: Final = Parameter("where", ref("Condition"), "A filter, as JSON.", as_json=True)
FREE_TEXT: Final = Parameter("q", FREE, "Text that any text field must have in it.")
DATASET: Final = Parameter("dataset", ref("DatasetName"), at="path", required=True)
COORDINATES: Final = Parameter(
    "coordinates",
    {
        "type": "string",
        "pattern": r"^[A-Za-z0-9_-]{1,64}\.(0|[1-9][0-9]{0,8})\.(0|[1-9][0-9]{0,17})\.(0|[1-9][0-9]{0,8})$",
    },
    "Topic id, partition, offset and row.",
    at="path",
    required=True,
)
ID: Final = Parameter("id", {"type": "string", "minLength": 1, "maxLength": 200}, at="path", required=True)
NAME: Final = Parameter("name", {"type": "string", "minLength": 1, "maxLength": 100}, at="path", required=True)
IF_MATCH: Final = Parameter("If-Match", TEXT, "The ETag of what is meant, or `*`.", at="header")
IF_NONE_MATCH: Final = Parameter(
    "If-None-Match", TEXT, "`*`: there must be none; of a GET: the ETag that is known.", at="header"
)

_CONDITION: Final[Schema] = {
    "oneOf": [
        {
            "type": "object",
            "properties": {
                "key": {"type": "string", "description": "A field of the dataset."},
                "operator": {
                    "enum": [
                        *("eq", "!eq", "lt", "leq", "gt", "geq", "in", "!in", "contains", "!contains"),
                        *("startsWith", "!startsWith", "endsWith", "!endsWith"),
                    ]
                },
                "value": {
                    "type": ["string", "number", "boolean", "array"],
                    "items": {"type": ["string", "integer"]},
                    "maxItems": MOST_CONDITIONS,
                },
            },
            "required": ["key", "operator", "value"],
            "additionalProperties": False,
        },
        {
            "type": "object",
            "properties": {
                "key": {"type": "string", "description": "A field of the dataset."},
                "operator": {
                    "enum": ["isNull", "!isNull"],
                    "description": "The record has no value there, or has one.",
                },
            },
            "required": ["key", "operator"],
            "additionalProperties": False,
        },
        *(
            {
                "type": "object",
                "properties": {
                    word: {"type": "array", "items": {"$ref": "#/components/schemas/Condition"}, "minItems": 1}
                },
                "required": [word],
                "additionalProperties": False,
            }
            for word in ("and", "or")
        ),
    ]
}
_SQL: Final[Schema] = {
    "type": "object",
    "properties": {
        "sql": {"type": "string", "maxLength": 100_000, "description": "One SELECT."},
        "since": WHEN,
        "until": WHEN,
        "limit": {"type": "integer", "minimum": 1},
        "live": {"type": "boolean", "description": "Whether rows count that still wait in Kafka."},
    },
    "required": ["sql"],
    "additionalProperties": False,
}
_FILTER: Final[Schema] = {
    "type": "object",
    "properties": {
        "dataset": {"$ref": "#/components/schemas/DatasetName"},
        "where": {"$ref": "#/components/schemas/Condition"},
        "q": FREE,
        "fields": array(TEXT),
        "order": {"type": "string", "description": "A field, `-` before it for the greatest first."},
        **{name: _SQL["properties"][name] for name in ("since", "until", "limit", "live")},
    },
    "required": ["dataset"],
    "additionalProperties": False,
}
_NOTE: Final[Schema] = {"type": "string", "maxLength": _MOST_TEXT}
_ABOUT: Final = {
    "id": TEXT,
    "state": {"enum": ["waiting", "running", "done", "failed", "cancelled"]},
    "sql": TEXT,
    "began": {"type": "string", "format": "date-time"},
    "seconds": {"type": "number"},
}
_READ: Final = {
    "row_count": NUMBER,
    "limit": {"type": ["integer", "null"]},
    "limited": FLAG,
    "range": {"$ref": "#/components/schemas/Range"},
    "versions": {"type": "object", "additionalProperties": NUMBER},
    "scanned": thing(dict.fromkeys(("files", "of_files", "bytes", "of_bytes"), NUMBER)),
    "live": thing({"rows": NUMBER, "bytes": NUMBER, "partial": nullable("string")}),
    "problem": {"$ref": "#/components/schemas/Problem"},
}
_SAVED: Final = {
    "name": TEXT,
    "query": {"type": "object"},
    "note": TEXT,
    "changed": {"type": "string", "format": "date-time"},
    "by": TEXT,
    "etag": TEXT,
}

SCHEMAS: Final[Mapping[str, Schema]] = {
    "Problem": thing({"type": TEXT, "title": TEXT, "status": {"type": "integer"}, "detail": TEXT}),
    "Range": thing(
        {
            "since": {"type": ["string", "null"], "format": "date-time"},
            "until": {"type": ["string", "null"], "format": "date-time"},
            "why": {"enum": ["asked", "all", "condition", "recent", "ended"]},
        }
    ),
    "Condition": _CONDITION,
    "Question": {"oneOf": [_SQL, _FILTER]},
    "Query": thing(_ABOUT, **_READ),
    "Answer": thing({"columns": array(thing({"name": TEXT, "type": TEXT})), "rows": array(RECORD), **_ABOUT}, **_READ),
    "Field": thing({"name": TEXT, "type": TEXT, "description": TEXT}),
    "SavedQuery": thing(_SAVED),
    "ToSave": {"oneOf": [{**each, "properties": {**each["properties"], "note": _NOTE}} for each in (_SQL, _FILTER)]},
}
