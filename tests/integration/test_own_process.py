"""What only a Python process of its own shows: what it imports, and that it lives on."""

from __future__ import annotations

import subprocess
import sys

from logflume.cli import main


def python(code: str) -> str:
    """What it prints; AssertionError when it ends otherwise than by itself."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_help_lists_every_command_without_importing_what_they_need() -> None:
    said = python(
        "import sys; from logflume.cli.main import run; assert run(['--help']) == 0;"
        "heavy = {'pyarrow', 'faust', 'confluent_kafka', 'deltalake', 'datafusion', 'pydantic'} & sys.modules.keys();"
        "assert not heavy, heavy"
    )
    assert all(name in said for name in main.COMMANDS)


def test_tr1_off_nothing_of_the_sdk_is_imported() -> None:
    code = (
        "import sys, logflume.edge.client, logflume.sort.stage, logflume.sink.worker; "
        "from logflume import traces; from logflume.settings import Settings; traces.setup(Settings(), 'x'); "
        "print([name for name in sys.modules if name.startswith(('opentelemetry.sdk', 'opentelemetry.trace'))])"
    )
    assert python(code).strip() == "[]"


def test_a_record_that_is_null_does_not_end_the_process() -> None:
    python(
        "from tests.unit.test_json_parser import JsonParser, DS, line\n"
        "parser = JsonParser(DS); parser.parse(line())\n"
        "for text in (b'null', b'null\\n{}', b'{}\\nnull', b'null {}', b' null\\n' * 40, b'{} null {}', b'{}null'):\n"
        "    parsed = parser.parse(text); assert parsed.bad, text\n"
    )
