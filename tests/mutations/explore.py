"""Mutations of queries: the gateway, the confined process, turns, and what a table's files are asked."""

from __future__ import annotations

from tests.mutations.mutation import Mutation, code

_GATEWAY = "tests/unit/test_explore_gateway.py"
_SANDBOX = "tests/integration/test_explore_sandbox.py"
_ENGINE = "tests/integration/test_explore_engine.py"
_INSIDE = "tests/integration/test_explore_inside.py"
_TURNS = "tests/unit/test_explore_turns.py"
_BOUNDS = "tests/property/test_explore_bounds.py"

MUTATIONS = (
    Mutation(
        "gateway-key: without its key nothing is handed over (G1)",
        code("explore/gateway.py"),
        'self._passes.get(headers.get(_TOKEN, b"").decode("latin-1"))',
        "next(iter(self._passes.values()), None)",
        f"{_GATEWAY}::test_g1_without_its_key_nothing_is_opened_or_listed",
    ),
    Mutation(
        "gateway-pass: a key opens the objects of its own pass (G1)",
        code("explore/gateway.py"),
        "object = made.objects.get(name)",
        "object = next((p.objects[name] for p in self._passes.values() if name in p.objects), None)",
        f"{_GATEWAY}::test_g1_another_passes_objects_are_not_there",
    ),
    Mutation(
        "gateway-dismissal: a key ends with its query (G1)",
        code("explore/gateway.py"),
        "self._passes.pop(made.key, None)",
        "self._passes.get(made.key)",
        f"{_GATEWAY}::test_g1_after_its_dismissal_a_key_opens_nothing",
    ),
    Mutation(
        "gateway-reads: through the gateway nothing is written (G2)",
        code("explore/gateway.py"),
        'scope["method"] not in ("GET", "HEAD")',
        'scope["method"] == "PUT"',
        f"{_GATEWAY}::test_g2_nothing_is_written",
    ),
    Mutation(
        "sandbox-files: a query's process opens no file (SB1)",
        code("explore/engine/sandbox.py"),
        'struct.pack("=QQQ", rights, ports, scopes)',
        'struct.pack("=QQQ", 0 if ports else rights, ports, scopes)',
        f"{_SANDBOX}::test_sb_nothing_that_code_in_the_process_tries_succeeds_but_what_the_engine_needs",
    ),
    Mutation(
        "sandbox-ports: a query's process reaches one port (SB2)",
        code("explore/engine/sandbox.py"),
        "ports = _CONNECT_TCP | _BIND_TCP if",
        "ports = _BIND_TCP if",
        f"{_SANDBOX}::test_sb_nothing_that_code_in_the_process_tries_succeeds_but_what_the_engine_needs",
    ),
    Mutation(
        "sandbox-calls: a query's process has no other way out, such as MPTCP or a fork (SB2, SB3)",
        code("explore/engine/sandbox.py"),
        "        calls.deny()\n",
        "",
        f"{_SANDBOX}::test_sb_nothing_that_code_in_the_process_tries_succeeds_but_what_the_engine_needs",
    ),
    Mutation(
        "confined: a query's process gives up what it does not need before it sees the query (E1)",
        code("explore/engine/engine.py"),
        "confined=self._confined,",
        "confined=False,",
        f"{_ENGINE}::test_e1_a_query_runs_in_a_process_that_has_confined_itself",
    ),
    Mutation(
        "planner: the engine itself plans nothing but queries (E1)",
        code("explore/engine/process.py"),
        ".with_allow_ddl(False).with_allow_dml(False).with_allow_statements(False)",
        "",
        f"{_INSIDE}::test_e1_without_the_checks_of_its_sql_a_query_reads_and_writes_nothing_else",
    ),
    Mutation(
        "query-memory: a query's rows end at their limit of memory (E2)",
        code("explore/engine/process.py"),
        ".with_greedy_memory_pool(place.memory_bytes)",
        "",
        f"{_ENGINE}::test_e2_a_query_over_its_memory_ends_and_others_go_on",
    ),
    Mutation(
        "process-memory: what the engine does not count ends at a limit too (SB3)",
        code("explore/engine/sandbox.py"),
        "    resource.setrlimit(resource.RLIMIT_DATA, (most, most))\n",
        "    assert most\n",
        f"{_SANDBOX}::test_sb3_memory_and_descriptors_end_at_their_limits",
    ),
    Mutation(
        "query-time: a query ends at its limit of time (E2)",
        code("explore/engine/engine.py"),
        "asyncio.timeout_at(asyncio.get_running_loop().time() + run.deadline - time.monotonic())",
        "asyncio.timeout(9)",
        f"{_ENGINE}::test_e2_a_query_that_takes_too_long_ends_within_a_second_of_its_limit",
    ),
    Mutation(
        "query-rows: an answer ends at its limit of rows (E2)",
        code("explore/engine/engine.py"),
        "self._settings.explore_rows if checked.limited else",
        "1 << 40 if checked.limited else",
        f"{_ENGINE}::test_e2_rows_end_at_a_limit_which_is_said_when_it_bites",
    ),
    Mutation(
        "query-cancel: whoever reads a cancelled query hears of it (E2)",
        code("explore/engine/engine.py"),
        "socket.socket(fileno=child.stream.detach())",
        "child.stream",
        f"{_ENGINE}::test_e2_a_cancelled_query_tells_its_reader_at_once_and_is_gone",
    ),
    Mutation(
        "spare-fork: a process made for a query that was cancelled meanwhile is ended (E2)",
        code("explore/engine/forks.py"),
        "            making.add_done_callback(_unwanted)  # the thread goes on\n",
        "",
        f"{_ENGINE}::test_e2_a_fork_that_nobody_waits_for_any_more_is_ended",
    ),
    Mutation(
        "tenant-turns: whoever asks most, tenants take turns (TU2)",
        code("explore/engine/turns.py"),
        "self._served.get(tenant, 0)",
        "0",
        f"{_TURNS}::test_tu2_who_was_just_served_waits_behind_who_came_later_and_never_was",
    ),
    Mutation(
        "tenant-part: a tenant has no more of the turns than its part (TU1)",
        code("explore/engine/turns.py"),
        " and self._running[tenant] < self._most_of_one",
        "",
        f"{_TURNS}::test_tu1_no_more_run_than_may_and_of_one_tenant_no_more_than_its_part",
    ),
    Mutation(
        "cancelled-turn: who gives up in the moment of its turn leaves none taken (TU4)",
        code("explore/engine/turns.py"),
        "            if not turn.done():  # cancelled, and about to say so\n",
        "            if not turn.done() or True:\n",
        f"{_TURNS}::test_tu4_who_is_cancelled_in_the_moment_of_its_turn_leaves_none_taken",
    ),
    Mutation(
        "spare-dead: a process that died while it waited serves no query",
        code("explore/engine/spares.py"),
        "if _has_ended(child):",
        "if False:",
        "tests/integration/test_explore_spares.py::test_r2_a_spare_that_died_is_found_out",
    ),
    Mutation(
        "spare-closed: the process that is ready goes with its engine",
        code("explore/engine/spares.py"),
        "self._next.add_done_callback(_unwanted)",
        "pass",
        "tests/integration/test_explore_spares.py::test_r1_each_query_has_a_process_of_its_own_which_is_ready_before_it",
    ),
    Mutation(
        "ahead-late: nothing is read ahead for a query that has ended",
        code("explore/gateway.py"),
        "if made.key in self._passes:",
        "if True:",
        "tests/unit/test_explore_gateway.py::test_what_is_read_ahead_is_read_whole_and_once_in_parts",
    ),
    Mutation(
        "bounds-and: only what is joined by AND bounds a query's files",
        code("explore/bounds.py"),
        "isinstance(each, exp.And)",
        "isinstance(each, exp.And | exp.Or)",
        f"{_BOUNDS}::test_files_are_left_out_by_what_is_certain",
    ),
    Mutation(
        "bounds-names: a column under another's name bounds nothing",
        code("explore/bounds.py"),
        "if alias is not None and alias.columns:",
        "if alias is None and alias:",
        f"{_BOUNDS}::test_rows_in_files_that_are_left_out_never_change_an_answer",
    ),
    Mutation(
        "bounds-casts: a literal that a cast rounds bounds nothing",
        code("explore/bounds.py"),
        'if not literal.to.expressions else ""',
        'if literal else ""',
        f"{_BOUNDS}::test_rows_in_files_that_are_left_out_never_change_an_answer",
    ),
    Mutation(
        "cut-times: a file's times may be cut to milliseconds in the log",
        code("explore/snapshots.py"),
        "stated = pc.add(stated, _ROUNDED)",
        "stated = pc.add(stated, pa.scalar(0, _ROUNDED.type))",
        "tests/explore/test_explore_snapshots.py::test_rows_of_a_file_compacted_by_delta_rs_are_found_to_the_microsecond",
    ),
    Mutation(
        "parser-steps: no text makes the parser go on for ever",
        code("explore/check.py"),
        "_STEPS * self._tokens_size + 1_000",
        "1_000_000_000",
        "tests/unit/test_sql_check.py::test_nothing_makes_the_parser_go_on_for_ever",
    ),
    Mutation(
        "quoted-alias: a table's name writes no SQL after the checks",
        code("explore/rewrite.py"),
        """exp.to_identifier(alias, quoted=True).sql(dialect=DIALECT) + ".\"""",
        """f'"{alias}".'""",
        "tests/unit/test_explore_rewrite.py::test_a_tables_name_can_write_no_sql",
    ),
    Mutation(
        "table-anchor: a table made again is not taken for the old one by queries",
        code("explore/snapshots.py"),
        "if self._store.tag(place) != tag:",
        "if not place:",
        "tests/explore/test_explore_snapshots.py::test_a_table_deleted_and_made_again_is_read_anew_whatever_its_version",
    ),
    Mutation(
        "quoted-text: free text writes no SQL",
        code("explore/filters.py"),
        """text.replace("'", "''")""",
        "text",
        "tests/explore/test_api_dataset.py::test_free_text_is_itself_whatever_stands_in_it",
    ),
    Mutation(
        "recent-ended: when the data ended before the last minutes, its own last are meant",
        code("explore/recent.py"),
        "NEVER < max(known) < begin",
        "begin < max(known) < NEVER",
        "tests/explore/test_explore_recent.py::test_re3_when_the_data_ended_before_it_is_its_own_last",
    ),
    Mutation(
        "recent-word: a question that names a time itself is not narrowed",
        code("explore/recent.py"),
        "    if any(_names_a_time(checked",
        "    if False and any(_names_a_time(checked",
        "tests/explore/test_explore_recent.py::test_re1_what_names_a_time_itself_is_taken_at_its_word",
    ),
)
