"""The shipped datasets have the fields that the original system documents."""

from __future__ import annotations

from pathlib import Path

import pytest

from logflume import contract
from logflume.model import FieldType, load

DATASETS = load(contract.find())
PAGE = Path(__file__).parents[2] / "docs" / "datasets.md"

HTTP_REQUESTS = {
    FieldType.STRING: """RayID ParentRayID ClientIP ClientIPClass ClientCountry ClientCity ClientRegionCode
        ClientDeviceType ClientRequestHost ClientRequestMethod ClientRequestPath ClientRequestProtocol
        ClientRequestReferer ClientRequestScheme ClientRequestURI ClientRequestUserAgent ClientSSLCipher
        ClientSSLProtocol CacheCacheStatus EdgeColoCode EdgeServerIP EdgeRequestHost EdgeResponseContentType OriginIP
        JA3Hash JA4 SecurityAction SecurityRuleID SecurityRuleDescription VerifiedBotCategory ZoneName""",
    FieldType.INT: """BotScore ClientASN ClientSrcPort ClientRequestBytes ClientTCPRTTMs CacheResponseBytes EdgeColoID
        EdgeResponseBytes EdgeResponseBodyBytes EdgeResponseStatus EdgeTimeToFirstByteMs OriginResponseStatus
        OriginResponseDurationMs WAFAttackScore WAFSQLiAttackScore WAFXSSAttackScore WAFRCEAttackScore
        OriginResponseBytes""",
    FieldType.TIMESTAMP: "EdgeStartTimestamp EdgeEndTimestamp",
    FieldType.BOOL: "CacheReserveUsed WorkerSubrequest",
    FieldType.MAP: "Cookies RequestHeaders ResponseHeaders",
    FieldType.STRINGS: "SecurityActions SecurityRuleIDs SecuritySources BotTags",
    FieldType.INTS: "BotDetectionIDs",
}
FIREWALL_EVENTS = {
    FieldType.STRING: """Action ClientASNDescription ClientCountry ClientIP ClientIPClass ClientRequestHost
        ClientRequestMethod ClientRequestPath ClientRequestProtocol ClientRequestQuery ClientRequestScheme
        ClientRequestUserAgent Description EdgeColoCode Kind OriginatorRayID RayID Ref RuleID Source""",
    FieldType.INT: "ClientASN EdgeResponseStatus MatchIndex OriginResponseStatus",
    FieldType.TIMESTAMP: "Datetime",
    FieldType.MAP: "Metadata",
}
EVENTS = {
    FieldType.STRING: "level service message trace_id span_id host logger",
    FieldType.TIMESTAMP: "time",
    FieldType.MAP: "attributes",
}


@pytest.mark.parametrize(
    ("name", "expected"), [("http_requests", HTTP_REQUESTS), ("firewall_events", FIREWALL_EVENTS), ("events", EVENTS)]
)
def test_a_dataset_has_the_documented_fields_with_their_types(name: str, expected: dict[FieldType, str]) -> None:
    wanted = {field: kind for kind, fields in expected.items() for field in fields.split()}
    assert {field.name: field.type for field in DATASETS[name].fields} == wanted


def test_every_dataset_of_the_first_release_is_there_with_its_time_and_id() -> None:
    assert {name: (dataset.time_field, dataset.id_field) for name, dataset in DATASETS.items()} == {
        "audit_logs": ("When", "ID"),
        "dns_logs": ("Timestamp", None),
        "events": ("time", "trace_id"),
        "firewall_events": ("Datetime", "RayID"),
        "http_requests": ("EdgeStartTimestamp", "RayID"),
    }


def test_no_shipped_id_is_dictionary_encoded() -> None:
    """Ids are all different: a dictionary would only be built and thrown away."""
    assert not [
        name for name, dataset in DATASETS.items() if dataset.id_field and dataset.field(dataset.id_field).dictionary
    ]


def test_the_example_of_the_docs_page_loads(tmp_path: Path) -> None:
    (tmp_path / "datasets").mkdir()
    example = PAGE.read_text().split("```yaml\n")[1].split("```")[0]
    (tmp_path / "datasets" / "builds.yaml").write_text(example)
    assert load(tmp_path)["builds"].id_field == "BuildID"


def test_the_docs_page_names_every_type() -> None:
    page = PAGE.read_text()
    assert [kind for kind in FieldType if f"`{kind}`" not in page] == []


def test_every_schema_of_the_contract_parses() -> None:
    folder = contract.find()
    names = [path.stem for path in (folder / "schemas").glob("*.avsc")]
    assert "position" in names
    for name in names:
        assert contract.avro_schema(name, folder)["type"] == "record"
