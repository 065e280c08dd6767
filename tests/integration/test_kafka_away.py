"""What a person hears whose Kafka does not answer: why, and soon."""

from __future__ import annotations

import time

import pytest
from typer.testing import CliRunner

from logflume.cli.main import build
from logflume.kafka import client
from logflume.local.process import free_ports


@pytest.mark.parametrize(
    "command",
    [["lag"], ["lag", "--watch"], ["status"], ["top"], ["topics", "diff"], ["topics", "apply"], ["deadletter", "list"]],
)
def test_a_command_says_that_kafka_does_not_answer(command: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "ANSWER_SECONDS", 1.0)
    nobody = f"127.0.0.1:{free_ports(1)[0]}"
    monkeypatch.setenv("LOGFLUME_KAFKA_BOOTSTRAP", nobody)
    began = time.monotonic()
    why = str(CliRunner().invoke(build(command[0]), command).exception)
    assert f"Kafka at {nobody}" in why
    assert "is Kafka up, and is LOGFLUME_KAFKA_BOOTSTRAP its address?" in why
    assert time.monotonic() - began < client.REQUEST_SECONDS / 2, "the first question is the last"
