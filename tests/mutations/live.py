"""Mutations of what is asked live: rows still in Kafka, and the tail."""

from __future__ import annotations

from tests.mutations.mutation import Mutation, code

_FOLLOWER = "tests/unit/test_tail_follower.py"
_LIVE = "tests/integration/test_explore_live.py"

MUTATIONS = (
    Mutation(
        "live-rested: what a table has is not added to it again",
        code("explore/live.py"),
        "if block.offset < (progress.get(begin.app_id) or 0):",
        "if block.offset < 0:",
        f"{_LIVE}::test_rows_at_rest_are_not_added_again_and_repeats_are_dropped",
    ),
    Mutation(
        "live-parked: what a parked table waits for lies before the sinks' position",
        code("explore/live.py"),
        "if waits is not None and waits.topic_id == topic_id else",
        "if False and waits is not None else",
        f"{_LIVE}::test_a_parked_table_is_read_from_where_it_was_parked",
    ),
    Mutation(
        "live-shards: rows wait wherever the tenant was routed to",
        code("explore/live.py"),
        "places(dataset, tenant, routes, about.partitions)",
        "places(dataset, tenant, (), about.partitions)",
        f"{_LIVE}::test_rows_of_all_partitions_that_a_tenant_was_ever_routed_to_are_added",
    ),
    Mutation(
        "live-bounded: what waits is not held without end",
        code("explore/live.py"),
        "if found.bytes + rows.nbytes > self._settings.explore_live_bytes:",
        "if found.bytes < 0:",
        f"{_LIVE}::test_what_is_held_has_an_end_and_it_is_said",
    ),
    Mutation(
        "tail-bounded: what waits for a follower has an end",
        code("explore/tail/follower.py"),
        "taken = min(rows.num_rows, self._room(rows), self._pace(rows.num_rows))",
        "taken = min(rows.num_rows, self._pace(rows.num_rows))",
        f"{_FOLLOWER}::test_fo1_what_there_is_no_room_for_is_lost_and_counted_in_its_place",
    ),
    Mutation(
        "tail-counted: what a follower does not get is counted for it",
        code("explore/tail/follower.py"),
        "self._waiting[-1] = Lost(last.rows + count, last.why)",
        "pass",
        f"{_FOLLOWER}::test_fo1_what_there_is_no_room_for_is_lost_and_counted_in_its_place",
    ),
    Mutation(
        "tail-sample: the same rows are in a sample in whatever pieces they come",
        code("explore/tail/sample.py"),
        "kept: npt.NDArray[np.bool_] = (number >> np.uint64(11)) <",
        "number = number * np.uint64(len(number) | 1)\n    kept: npt.NDArray[np.bool_] = (number >> np.uint64(11)) <",
        f"{_FOLLOWER}::test_a_sample_is_the_same_whoever_asks_and_in_whatever_pieces",
    ),
    Mutation(
        "match-lacks: a field that a row lacks equals nothing, and its negation matches",
        code("explore/match.py"),
        "else ~matches",
        "else ~matches & np.array([found['key'] in rows.schema.names])",
        "tests/property/test_explore_match.py::test_a_filter_over_columns_matches_what_its_sql_matches",
    ),
    Mutation(
        "tail-token: who follows is asked for the token again and again",
        code("api/tail.py"),
        "if why := self._why_not():",
        "if why := '':",
        "tests/integration/test_serve_tail.py::test_rows_are_followed_by_their_coordinates_until_the_token_ends",
    ),
    Mutation(
        "tail-end: a server that ends does not wait for those who follow",
        code("api/serve.py"),
        "await asyncio.to_thread(hub.close)",
        "pass",
        "tests/integration/test_serve_tail.py::test_a_server_that_ends_does_not_wait_for_those_who_follow",
    ),
    Mutation(
        "tail-terminal: nothing in a record steers the terminal",
        code("cli/tail.py"),
        'return printable(" ".join(',
        'return str(" ".join(',
        "tests/unit/test_tail_command.py::test_nothing_in_a_record_steers_the_terminal",
    ),
)
