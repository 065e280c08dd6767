"""How a worker logs: structlog, as lines for people or as JSON, the libraries' own logging included."""

from __future__ import annotations

import io
import json
import logging
import re
import sys
from typing import TextIO

import orjson
import structlog
from structlog.typing import EventDict, Processor

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
"""What moves a terminal's cursor, colours it or turns its text round; the ends of lines and tabs are not among them."""
_NOISY = ("aiokafka", "faust", "mode", "botocore", "urllib3", "asyncio", "fsspec", "s3fs")
"""Their info lines tell of every request or rebalance step; warnings are kept."""


def setup(log_format: str = "console", level: str = "info", stream: TextIO | None = None) -> None:
    """Send structlog's and ``logging``'s lines to ``stream`` (stderr), one line an event; may be called again.

    ``log_format`` is ``console`` or ``json``. Every event has time (UTC), level, logger and event.
    """
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
    ]
    stream = stream or sys.stderr
    render: list[Processor] = [structlog.stdlib.ProcessorFormatter.remove_processors_meta]
    if log_format == "json":
        render += [structlog.processors.format_exc_info, _json]
    else:
        colors = stream.isatty()
        render += [
            _on_one_line,
            structlog.dev.ConsoleRenderer(timestamp_key="time", colors=colors, exception_formatter=_traceback),
        ]
    handler = logging.StreamHandler(stream)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=render))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in _NOISY:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )


def keep_off_stdout() -> None:
    """Have structlog write to stderr where nobody called ``setup``: what a command prints is for programs too."""
    if not isinstance(structlog.get_config()["logger_factory"], structlog.stdlib.LoggerFactory):
        structlog.configure(logger_factory=lambda *_: structlog.PrintLogger(sys.stderr))


def _on_one_line(logger: object, name: str, event: EventDict) -> EventDict:
    """What is said stays in its line: the renderer sees to values alone, and a library's text may hold a sender's."""
    event["event"] = _harmless(str(event.get("event", ""))).replace("\n", "\\n")
    return event


def _traceback(stream: TextIO, error: structlog.typing.ExcInfo) -> None:
    """Print a traceback, set in, so that no line of an error's text looks like an event.

    It has no local variables, as the renderer's own has: secrets are among them.
    """
    text = io.StringIO()
    structlog.dev.plain_traceback(text, error)
    stream.write("\n" + "\n".join(f"  {line}" for line in _harmless(text.getvalue()).strip("\n").split("\n")))


def _harmless(text: str) -> str:
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def _json(logger: object, name: str, event: EventDict) -> str:
    """Render one event; what JSON has no form for is written as text, for a log line must never raise."""
    try:
        return orjson.dumps(event, default=str, option=orjson.OPT_NON_STR_KEYS).decode()
    except orjson.JSONEncodeError:  # lone surrogates, integers past 64 bits
        return json.dumps({str(key): value for key, value in event.items()}, default=str)
