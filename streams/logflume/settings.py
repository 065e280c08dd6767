"""Every setting of Logflume, in one place: its name, its default, and what it is for.

A value comes from the first of: an argument, a variable ``LOGFLUME_<NAME>``, the file ``logflume.toml`` (here, or where
``LOGFLUME_SETTINGS`` points), the stack that ``logflume local up`` runs. docs/settings.md is generated from this file.
"""

from __future__ import annotations

import difflib
import json
import os
import socket
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, cast, get_args, get_origin

from pydantic import AfterValidator, ByteSize, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, InitSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from logflume.errors import Misconfigured

PREFIX = "LOGFLUME_"
SETTINGS_VARIABLE = "LOGFLUME_SETTINGS"
STACK_VARIABLE = "LOGFLUME_STACK"  # marks the processes of a local stack
TEST_PREFIX = "LOGFLUME_TEST_"  # variables of the test suite, which no setting may take
STACK_FILE = "stack.toml"


def state_home() -> Path:
    """Where local data lies when ``state_dir`` says nothing: the XDG state folder."""
    return Path(os.environ.get("XDG_STATE_HOME") or "~/.local/state").expanduser() / "logflume"


def cache_home() -> Path:
    """Where downloads lie when ``cache_dir`` says nothing: the XDG cache folder."""
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "logflume"


def _absolute(path: Path) -> Path:
    """``~`` expanded, and independent of where a worker is started."""
    return path.expanduser().absolute()


Folder = Annotated[Path, AfterValidator(_absolute)]
OptionalFolder = Annotated[str, AfterValidator(lambda text: str(_absolute(Path(text))) if text else "")]


def _mb(megabytes: int) -> ByteSize:
    return ByteSize(megabytes * 1_000_000)


class Settings(BaseSettings):
    """The settings of one process. Unchangeable; ``model_copy(update=…)`` makes a variant.

    Sizes may be written as ``64MB`` or as a number of bytes. Building one raises Misconfigured for a value that does
    not fit, for an unknown name in a file, and for a ``LOGFLUME_`` variable that no setting has.
    """

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="forbid", frozen=True, validate_default=True)

    # Kafka
    kafka_bootstrap: str = Field("", description="Kafka brokers, `host:port[,host:port…]`.")
    kafka_options: dict[str, str] = Field(
        default_factory=dict,
        description='Further librdkafka options, as JSON, such as `{"socket.keepalive.enable": "true"}`. Faust\'s own '
        "client in sorters does not heed them, and sorters refuse TLS and SASL so far.",
    )
    topic_prefix: str = Field("logflume.", description="What the names of all topics begin with.")
    topics_profile: Literal["local", "real"] = Field(
        "real",
        description="Which partition counts and replication the topics have: `real` needs three brokers; "
        "`logflume local up` takes `local` for its own Kafka.",
    )
    topics_dir: OptionalFolder = Field(
        "",
        description="Folder of the contract (topics, schemas, datasets); empty: the checkout's, else the package's.",
    )
    tenants_dir: OptionalFolder = Field("", description="Folder of the tenants' files, `*.yaml`.")
    config_shrink: float = Field(
        0.2,
        ge=0,
        le=1,
        description="Part of the active (tenant, dataset) pairs that one generation may take away unless their number "
        "is named.",
    )
    config_dir: OptionalFolder = Field(
        "",
        description="Folder where a worker keeps the last good configuration, for a start without Kafka; shared by the "
        "workers of a host and of one Kafka. Empty: one in `state_dir` for each Kafka and `topic_prefix`.",
    )
    config_growth: float = Field(
        2.0, ge=1, description="How many times as many of them it may have unless the number of new ones is named."
    )

    # Object store
    store_url: str = Field("", description="Where tables come to rest: `s3://bucket/prefix` or `file:///folder`.")
    store_endpoint: str = Field(
        "", description="URL of an S3 service other than Amazon's, such as `http://127.0.0.1:8333`."
    )
    store_region: str = Field("us-east-1", description="Region of the bucket.")
    store_access_key: str = Field(
        "", description="Access key id; empty: `AWS_*` variables, or the container's or instance's role (no profiles)."
    )
    store_secret_key: SecretStr = Field(SecretStr(""), description="Secret access key.")

    # Destinations of jobs
    secrets_dir: OptionalFolder = Field(
        "",
        description="Folder of the credentials that jobs name: `<name>/access_key`, `<name>/secret_key`, and perhaps "
        "`<name>/session_token`.",
    )
    secret_env_prefix: str = Field(
        "SECRET_",
        pattern="^[A-Z][A-Z0-9_]*_$",
        description="What the names of variables begin with that a job's `env:NAME` may name; no others can be read.",
    )
    destination_timeout_seconds: float = Field(
        60.0,
        gt=0,
        description="How long a job's object may take to be stored; 20 s more for each megabyte, so that slow links "
        "get there too.",
    )
    destination_part_bytes: ByteSize = Field(
        _mb(16),
        ge=5 << 20,  # S3's least
        le=512_000_000,
        description="Objects larger than this go to S3 in parts of it.",
    )

    # This machine
    state_dir: Folder = Field(
        default_factory=state_home,
        description="Folder of everything that `logflume local` keeps: data, logs, addresses.",
    )
    cache_dir: Folder = Field(
        default_factory=cache_home, description="Folder of downloads that can be made again, such as Kafka's jars."
    )
    local_sorters: int = Field(1, ge=0, le=16, description="Sort workers that `logflume local up` starts.")
    local_sinks: int = Field(1, ge=0, le=16, description="Sink workers that `logflume local up` starts.")
    local_watches: int = Field(1, ge=0, le=4, description="Watch workers that `logflume local up` starts.")
    local_edges: int = Field(
        0, ge=0, le=16, description="HTTP edges that `logflume local up` starts, each with a spool of its own."
    )

    # Every worker
    log_format: Literal["console", "json"] = Field("console", description="How a worker logs: `console` or `json`.")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="The least level logged.")
    http_host: str = Field("127.0.0.1", description="Address of a worker's `/metrics`, `/live` and `/ready`.")
    http_port: int = Field(
        9464,  # as OpenTelemetry's Prometheus exporters have it
        ge=0,
        le=65535,
        description="Port of a worker's `/metrics`, `/live` and `/ready`; 0: none. Workers of one host need one each.",
    )
    stall_seconds: float = Field(
        120.0,
        gt=0,
        description="`/ready` fails when there is work and nothing was committed for this long (a sink: and for the "
        "longest `max_age_seconds` of a job).",
    )

    worker_id: str = Field(
        "",
        description="Name of a worker among those of its kind, the same after a restart (such as a StatefulSet's pod); "
        "empty: host and `http_port`. A client inside an application tells its status only when it has one.",
    )
    status_seconds: float = Field(
        2.0,
        ge=0,
        le=600,
        description="How often a worker tells its status on the topic `status`; 0: it tells none, and edges don't "
        "follow the pressure.",
    )

    # Pressure
    watch_seconds: float = Field(
        2.0, gt=0, le=600, description="How often `logflume watch` measures, and publishes the pressure."
    )
    pressure_lag_seconds: float = Field(
        3600.0,
        ge=0,
        description="How late sorters or sinks may be; this is 1.0 of the limit, and edges stop. Above the longest "
        "`max_age_seconds` of a job, far below the topics' retention. 0: no limit.",
    )
    pressure_partitions_ratio: float = Field(
        0.25,
        gt=0,
        le=1,
        description="Part of the partitions in use that must be as late: a single one slows nobody else down.",
    )
    pressure_memory_bytes: ByteSize = Field(
        _mb(1000), ge=0, description="Memory of a sorter or sink beyond its budget, likewise. 0: no limit."
    )
    pressure_slow_on: float = Field(0.9, gt=0, description="Part of a limit at which edges slow down.")
    pressure_slow_off: float = Field(0.7, ge=0, description="Part of a limit at which they no longer do.")
    pressure_stop_on: float = Field(1.0, gt=0, description="Part of a limit at which edges take nothing new.")
    pressure_stop_off: float = Field(0.8, ge=0, description="Part of a limit at which they only slow down again.")
    pressure_hold_seconds: float = Field(
        10.0, ge=0, description="How long it must have been so low before edges hear of it."
    )
    pressure_least_ratio: float = Field(
        0.1, gt=0, le=1, description="Least part of its pace that an edge keeps while it slows down."
    )

    # Edge
    edge_id: str = Field(
        default_factory=socket.gethostname,
        description="Name of this edge in the headers of its blocks (the host's name).",
    )
    edge_block_rows: int = Field(4000, ge=1, le=100_000, description="Rows after which a block is closed.")
    edge_block_bytes: ByteSize = Field(
        _mb(4), ge=1, le=64_000_000, description="Bytes of records as they came, likewise."
    )
    edge_linger_seconds: float = Field(0.2, ge=0, description="Age at which a block is closed, full or not.")
    edge_memory_bytes: ByteSize = Field(_mb(64), ge=1, description="Memory for records not yet acknowledged by Kafka.")
    edge_timeout_seconds: float = Field(
        30.0, gt=0, description="How long the client waits for room or for Kafka before it raises Unavailable."
    )
    edge_spool_dir: OptionalFolder = Field(
        "",
        description="Folder of the spool, where blocks wait on disk while Kafka is away, one for each process; empty: "
        "none, and callers wait.",
    )
    edge_spool_bytes: ByteSize = Field(
        _mb(1000), ge=1_000_000, description="Most bytes of the spool; then nothing more is taken, and nothing dropped."
    )

    edge_spool_full: float = Field(
        0.9, gt=0, le=1, description="Part of `edge_spool_bytes` at which HTTP answers 503 before a body is received."
    )
    edge_spool_resume: float = Field(0.7, ge=0, le=1, description="Part of it at which bodies are received again.")
    edge_slow_bytes: ByteSize = Field(
        ByteSize(64_000), ge=1, description="Bytes a second that an edge may always take while it slows down."
    )

    edge_tenant_bytes_per_second: int = Field(
        0,
        ge=0,
        description="What a tenant may send to one edge process, as bytes a second, when its file has no `rates`; ten "
        "seconds' worth may come at once. 0: no limit.",
    )
    edge_tenant_records_per_second: int = Field(0, ge=0, description="Likewise, as records a second.")

    # Edge, HTTP
    edge_http_host: str = Field("127.0.0.1", description="Address on which `logflume edge serve` takes records.")
    edge_http_port: int = Field(8080, ge=0, le=65535, description="Port of the same; 0: any free one, logged.")
    edge_http_certificate: str = Field("", description="File of the certificate chain (PEM); empty: HTTP without TLS.")
    edge_http_key: str = Field("", description="File of the certificate's private key (PEM).")
    edge_http_dataset: str = Field("events", description="Dataset of records whose protocol names none.")
    edge_http_body_bytes: ByteSize = Field(_mb(16), ge=1, description="Most bytes of a body as it is sent.")
    edge_http_unpacked_bytes: ByteSize = Field(_mb(64), ge=1, description="Most bytes of a body once unpacked.")
    edge_http_records: int = Field(200_000, ge=1, description="Most records of one request.")
    edge_http_work_bytes: ByteSize = Field(
        _mb(256), ge=1, description="Memory for all bodies in work and what is made of them; then 503 is answered."
    )
    edge_http_requests: int = Field(512, ge=1, description="Most requests in work at once; then 503 is answered.")
    edge_http_connections: int = Field(2000, ge=1, description="Most open connections; then 503 is answered.")
    edge_http_tenant_share: float = Field(
        0.5, gt=0, le=1, description="What one tenant may have of requests and memory in work; then 429 is answered."
    )
    edge_http_header_bytes: ByteSize = Field(ByteSize(32_000), ge=256, description="Most bytes of a request's head.")
    edge_http_header_seconds: float = Field(10.0, gt=0, description="How long a request's head may take.")
    edge_http_body_seconds: float = Field(
        10.0, gt=0, description="How long a body may take, besides what `edge_http_body_rate` gives it."
    )
    edge_http_body_rate: ByteSize = Field(
        ByteSize(16_000), ge=1, description="Bytes a second that a body must come with, on the whole."
    )
    edge_http_idle_seconds: int = Field(75, ge=1, description="How long a connection is kept between two requests.")
    edge_http_threads: int = Field(2, ge=1, le=64, description="Threads that unpack and read bodies.")
    edge_http_key_seconds: float = Field(
        300.0, gt=0, description="How long the answer to an `Idempotency-Key` is remembered."
    )
    edge_http_keys: int = Field(20_000, ge=1, description="Most keys that are remembered; the oldest go first.")

    # Edge, files
    edge_tail_record_bytes: ByteSize = Field(
        ByteSize(256_000),
        ge=1000,
        le=16_000_000,
        description="Most bytes of one record that `logflume edge tail` reads; a longer line is cut there.",
    )
    edge_tail_open_files: int = Field(512, ge=1, description="Files that it keeps open; more are opened in turn.")
    edge_tail_record_seconds: float = Field(
        2.0, ge=0, description="A file that was not written to for so long has its last record whole."
    )
    edge_tail_partial_seconds: float = Field(
        10.0, ge=0, description="A rotated file that was not written to for so long has its last line whole."
    )

    # Edge, syslog
    edge_syslog_listen: str = Field(
        "",
        description="Where `logflume edge serve` and `edge syslog` take syslog, with commas between: "
        "`udp://HOST:PORT?tenant=NAME`, `tcp://…`, `tls://…`; instead of the tenant `?by=token` or, of tls, "
        "`?by=certificate`. Empty: nowhere.",
    )
    edge_syslog_dataset: str = Field("events", description="Dataset of syslog's records; their fields are `events`'.")
    edge_syslog_zone: str = Field("UTC", description="Time zone of times that name none (RFC 3164).")
    edge_syslog_message_bytes: ByteSize = Field(
        ByteSize(64_000), ge=2048, le=1_000_000, description="Longest message; of a longer one the beginning is kept."
    )
    edge_syslog_memory_bytes: ByteSize = Field(
        _mb(16), ge=1, description="Memory for messages not yet taken by the client; then nothing is read."
    )
    edge_syslog_connections: int = Field(1000, ge=1, description="Most syslog connections.")
    edge_syslog_idle_seconds: float = Field(
        3600.0, gt=0, description="A syslog connection that is quiet for this long is ended."
    )
    edge_syslog_socket_bytes: ByteSize = Field(
        _mb(4), ge=1, le=1_000_000_000, description="Receive buffer asked for of UDP; `net.core.rmem_max` is its limit."
    )
    edge_syslog_certificate: str = Field("", description="File of the certificate chain (PEM) of `tls://` listeners.")
    edge_syslog_key: str = Field("", description="File of that certificate's private key (PEM).")
    edge_syslog_client_ca: str = Field(
        "",
        description="File of the authorities (PEM) whose clients `tls://` takes; empty: clients show none.",
    )

    # Sort
    sort_group: str = Field("logflume-sort", description="Consumer group of the sort workers.")
    sort_memory_bytes: ByteSize = Field(_mb(256), ge=1, description="A sort worker's memory budget.")
    sort_unit_bytes: ByteSize = Field(_mb(16), ge=1, description="Decoded bytes of input that are sorted at once.")
    sort_linger_seconds: float = Field(
        0.25, ge=0, description="How long a sorter waits for `sort_unit_bytes`: larger blocks cost the sinks less."
    )
    sort_schema_registry: str = Field(
        "",
        description="URL of a Confluent schema registry, for plain records that name its schemas (user and password "
        "may stand in it); empty: none.",
    )
    sort_session_timeout_seconds: float = Field(
        60.0, gt=0, description="A sort worker that is silent for this long loses its partitions."
    )

    # Sink
    sink_group: str = Field("logflume-sink", description="Consumer group of the sink workers.")
    sink_memory_bytes: ByteSize = Field(_mb(512), ge=1, description="A sink worker's memory budget.")
    sink_flush_age_seconds: float = Field(5.0, gt=0, description="Age at which a tenant's rows are flushed.")
    sink_flush_rows: int = Field(200_000, ge=1, description="Rows of one tenant and dataset that make a flush.")
    sink_flush_bytes: ByteSize = Field(_mb(128), ge=1, description="Bytes of one tenant and dataset, likewise.")
    sink_flush_threads: int = Field(2, ge=1, le=64, description="Flushes of tables that run at once.")
    sink_object_threads: int = Field(
        4,
        ge=2,
        le=256,
        description="Objects of file jobs that are written at once; at most half of them for destinations that fail.",
    )
    sink_behind_bytes: ByteSize = Field(
        _mb(1000), ge=1, description="Most bytes read beyond the commit: what a restart reads again."
    )
    sink_park_seconds: float = Field(
        20.0,
        ge=0,
        description="A table or job whose flushes have failed for so long is parked, so that it holds up nobody else.",
    )
    sink_active_pairs: int = Field(
        20_000,
        ge=1,
        description="Tables and jobs that a sink stores rows of within ten minutes: above it new ones are parked.",
    )
    sink_new_pairs_a_minute: int = Field(
        1_500,
        ge=1,
        description="New tables and jobs that may begin in a minute, also at once; four times as many while the sink "
        "is not pressed. Any more are parked before their first row until there is room.",
    )
    sink_generation_wait_seconds: float = Field(
        60.0,
        ge=0,
        description="How long a sink waits for the configuration by which an edge took rows, before it judges them by "
        "its own.",
    )
    sink_session_timeout_ms: int = Field(
        45_000, ge=1000, description="A sink worker that is silent for this long loses its partitions."
    )
    sink_transaction_timeout_ms: int = Field(
        30_000,
        ge=1000,
        description="Kafka aborts a sink's transaction after this long, so that its successor can begin.",
    )

    # Explore
    explore_queries: int = Field(4, ge=1, le=256, description="Queries that run at once, each in a process of its own.")
    explore_tenant_queries: int = Field(2, ge=1, description="Queries of one tenant that run at once; others wait.")
    explore_waiting: int = Field(
        16, ge=1, description="Queries of one tenant that may wait for their turn; one more is refused."
    )
    explore_seconds: float = Field(60.0, gt=0, description="How long a query may take.")
    explore_memory_bytes: ByteSize = Field(
        _mb(512), ge=16_000_000, description="Memory of a query for its rows; its process has 256 MB more for itself."
    )
    explore_rows: int = Field(1_000_000, ge=1, description="Most rows of an answer, whatever its LIMIT says.")
    explore_threads: int = Field(2, ge=1, le=64, description="Threads that a query computes with.")
    explore_sandbox: Literal["on", "off"] = Field(
        "on",
        description="Whether a query's process gives up files and network before it sees the query (Landlock, Linux "
        "5.13). `off`: only by SQL's checks, and by having no keys of the store.",
    )

    # Tests
    crash_at: str = Field("", description="For tests: the crash point, `name` or `name:N`, at which the process ends.")

    def __init__(self, **values: Any) -> None:
        _refuse_unknown_variables()
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise Misconfigured(_explain(error)) from None

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments, then variables, then the settings file, then the running local stack."""
        file = _settings_file()
        init = cast("InitSettingsSource", init_settings).init_kwargs
        state_dir = (
            init.get("state_dir") or os.environ.get(PREFIX + "STATE_DIR") or file.get("state_dir") or state_home()
        )
        stack = cls._stack(_absolute(Path(str(state_dir))))
        return (
            init_settings,
            env_settings,
            InitSettingsSource(settings_cls, file),
            InitSettingsSource(settings_cls, stack),
        )

    @classmethod
    def _stack(cls, state_dir: Path) -> dict[str, Any]:
        """What the local stack says that runs in ``state_dir``."""
        return _read_toml(state_dir / STACK_FILE)

    def require(self, name: str) -> str:
        """The value of a setting that has no default; Misconfigured, naming its variable, when it is empty."""
        value = getattr(self, name)
        text = value.get_secret_value() if isinstance(value, SecretStr) else str(value)
        if not text:
            raise Misconfigured(
                f"{variable(name)} is not set ({type(self).model_fields[name].description}) "
                f"Set it, or start a local stack with `logflume local up`."
            )
        return text

    def environment(self) -> dict[str, str]:
        """The variables that give another process exactly these settings, secrets included."""
        found: dict[str, str] = {}
        for name, value in self.model_dump(mode="json").items():
            if name == "store_secret_key":
                found[variable(name)] = self.store_secret_key.get_secret_value()
            elif isinstance(value, dict):
                found[variable(name)] = json.dumps(value)
            else:
                found[variable(name)] = str(value)
        return found


class GivenSettings(Settings):
    """The settings as the user gave them, without what a running local stack says of itself."""

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)

    @classmethod
    def _stack(cls, state_dir: Path) -> dict[str, Any]:
        return {}


def variable(name: str) -> str:
    """The environment variable of a setting."""
    return PREFIX + name.upper()


def page() -> str:
    """docs/settings.md: every setting with its variable, type, default and meaning."""
    lines = [
        "# Settings",
        "",
        "Generated from `streams/logflume/settings.py` by `make docs`; a test keeps it current.",
        "",
        "A value comes from the first of: a variable, `logflume.toml` in the current folder (or the file that",
        f"`{SETTINGS_VARIABLE}` names; the setting's name in small letters), the stack that `logflume local up` runs.",
        "Sizes may be written as `64MB` or as a number of bytes. A `LOGFLUME_` variable that is not here is refused.",
        "",
        "| variable | type | default | meaning |",
        "|---|---|---|---|",
    ]
    for name, field in Settings.model_fields.items():
        lines.append(f"| `{variable(name)}` | {_type(field.annotation)} | {_default(name)} | {field.description} |")
    return "\n".join(lines) + "\n"


def _type(annotation: Any) -> str:
    if get_origin(annotation) is Literal:
        return "one of " + ", ".join(get_args(annotation))
    if get_origin(annotation) is dict:
        return "JSON object"
    names: dict[Any, str] = {
        str: "text",
        int: "number",
        float: "number",
        ByteSize: "size",
        SecretStr: "secret",
        Path: "folder",
    }
    return names[annotation]


def _default(name: str) -> str:
    places = {
        "state_dir": "`~/.local/state/logflume`",
        "cache_dir": "`~/.cache/logflume`",
        "edge_id": "host name",
        "kafka_options": "`{}`",
    }
    if name in places:
        return places[name]
    value = Settings.model_fields[name].default
    if isinstance(value, SecretStr) or value == "":
        return "–"
    return f"`{value.human_readable(decimal=True, separator='')}`" if isinstance(value, ByteSize) else f"`{value}`"


def _settings_file() -> dict[str, Any]:
    named = os.environ.get(SETTINGS_VARIABLE)
    path = Path(named or "logflume.toml").expanduser()
    if named and not path.exists():
        raise Misconfigured(f"{SETTINGS_VARIABLE} names {path}, which does not exist.")
    return _read_toml(path)


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            return tomllib.load(file)
    except FileNotFoundError:
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise Misconfigured(f"{path}: {error}") from None


def _refuse_unknown_variables() -> None:
    """A mistyped variable would otherwise be a silent default."""
    known = {variable(name) for name in Settings.model_fields} | {SETTINGS_VARIABLE, STACK_VARIABLE}
    for name in os.environ:
        if name.startswith(PREFIX) and name.upper() not in known and not name.startswith(TEST_PREFIX):
            near = difflib.get_close_matches(name.upper(), known, n=1)
            hint = f" Did you mean {near[0]}?" if near else " docs/settings.md lists them."
            raise Misconfigured(f"{name} is not a setting.{hint}")


def _explain(error: ValidationError) -> str:
    """One line for each mistake; values are left out, one may be a secret."""
    lines = []
    for mistake in error.errors(include_input=False, include_url=False, include_context=False):
        name = str(mistake["loc"][0]) if mistake["loc"] else "?"
        if mistake["type"] == "extra_forbidden":
            near = difflib.get_close_matches(name, Settings.model_fields, n=1)
            lines.append(f"{name} is not a setting." + (f" Did you mean {near[0]}?" if near else ""))
        else:
            lines.append(f"{variable(name)} ({name}): {mistake['msg']}")
    return "\n".join(lines)
