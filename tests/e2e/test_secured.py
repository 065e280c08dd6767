"""The whole way through a Kafka that lets in only who can prove who they are."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import SettingsFor
from tests.support.pipeline import SHORT, Pipeline, StartWorker
from tests.support.secured import SecuredKafka, TokenService
from tests.support.services import Run
from tests.support.ways import Principal, everything

pytestmark = pytest.mark.timeout(400)

STAGES = ("edge", "sort", "sink")


@pytest.fixture
def tokens(secured: SecuredKafka) -> Iterator[TokenService]:
    with secured.token_service() as service:
        yield service


@pytest.fixture
def pipeline(
    secured: SecuredKafka, settings_for: SettingsFor, worker: StartWorker, run: Run, tmp_path: Path
) -> Iterator[Pipeline]:
    """Topics and tenants of a pipeline, by the operator; who its stages are, a test says."""
    made = Pipeline(settings_for(secured).model_copy(update=SHORT), run, tmp_path, worker)
    yield made
    made.close()


@pytest.mark.parametrize("way", ["PLAIN", "mTLS", "OAUTHBEARER"])
def test_records_come_to_rest_once_each_by(
    way: str, pipeline: Pipeline, secured: SecuredKafka, tokens: TokenService, tmp_path: Path
) -> None:
    principal = Principal(way, secured, tokens, tmp_path)
    secured.allow(everything(principal.name))
    pipeline.given = dict.fromkeys(STAGES, principal.given)
    sorter, sink = pipeline.sort(), pipeline.sink()
    pipeline.sent(1000)
    pipeline.assert_exactly_once()
    assert sorter.stop() == 0
    assert sink.stop() == 0
    pipeline.judge.assert_drained()


def test_workers_end_in_order_when_their_certificate_is_renewed_and_go_on_with_the_new_one(
    pipeline: Pipeline, secured: SecuredKafka, tokens: TokenService, tmp_path: Path
) -> None:
    principal = Principal("mTLS", secured, tokens, tmp_path)
    secured.allow(everything(principal.name))
    pipeline.given = {stage: {**principal.given, "kafka_reload_seconds": 0.2} for stage in STAGES}
    sorter, sink = pipeline.sort(), pipeline.sink()
    pipeline.sent(500)
    pipeline.assert_exactly_once()
    secured.certify(principal.name, tmp_path)
    assert (sorter.wait(), sink.wait()) == (0, 0), sorter.output() + sink.output()
    pipeline.judge.assert_drained()
    sorter, sink = pipeline.sort(), pipeline.sink()
    pipeline.sent(500)
    pipeline.assert_exactly_once()
    assert sorter.stop() == 0
    assert sink.stop() == 0
