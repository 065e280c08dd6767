"""Mutations of the API and of the commands that ask it."""

from __future__ import annotations

from tests.mutations.mutation import Mutation, code

_PUBLISHED = "tests/explore/test_api_cloudflare.py"
_AUDIT = "tests/explore/test_api_audit.py"

MUTATIONS = (
    Mutation(
        "store-words: a tenant is not told where records are kept",
        code("api/problem.py"),
        'Problem(503, "store-failed", _ASK_AGAIN, retry_seconds=2)',
        'Problem(503, "store-failed", text, retry_seconds=2)',
        "tests/unit/test_api_problem.py::test_where_records_are_kept_is_for_the_log_and_not_for_a_tenant",
    ),
    Mutation(
        "around-ties: records at equal times are neighbours by their coordinates",
        code("api/dataset.py"),
        "AND {Coordinates.of(record).beyond(sign)}",
        "AND false",
        "tests/explore/test_api_dataset.py::test_the_records_around_one_are_its_neighbours_by_time_and_coordinates",
    ),
    Mutation(
        "gone-client: a client that goes away ends its query before its first row, too",
        code("api/running.py"),
        "asyncio.wait({work, leaving},",
        "asyncio.wait({work},",
        "tests/explore/test_api.py::test_a_client_that_goes_away_ends_its_query_before_its_first_row",
    ),
    Mutation(
        "published-owner: an account or a zone is the token's own tenant",
        code("api/cloudflare/published.py"),
        'if request.path_params["owner"] != who.tenant:',
        'if request.path_params["owner"] == "":',
        f"{_PUBLISHED}::test_anothers_account_is_not_found_and_what_is_not_allowed_is_told_as_published",
    ),
    Mutation(
        "published-minutes: the end of a minute is the next one's",
        code("api/cloudflare/received.py"),
        '("lt", end)',
        '("leq", end)',
        f"{_PUBLISHED}::test_a_record_is_in_the_minute_of_its_arrival_and_in_no_other",
    ),
    Mutation(
        "published-settled: a minute is told when its records have come to rest",
        code("api/cloudflare/received.py"),
        "if end > now - SETTLED:",
        "if end > now + SETTLED:",
        f"{_PUBLISHED}::test_a_mistake_is_told_in_the_envelope",
    ),
    Mutation(
        "published-whole: a part of a minute is not told as all of it",
        code("api/cloudflare/received.py"),
        'if about["limited"]:',
        'if about["limited"] is None:',
        f"{_PUBLISHED}::test_an_answer_that_is_cut_without_having_been_asked_to_be_breaks_off",
    ),
    Mutation(
        "remote-whole: a part of a server's answer is not taken for all of it",
        code("cli/remote.py"),
        """self._about["state"] != "done" or self._about["row_count"] != self._rows""",
        "self._rows < 0",
        "tests/explore/test_remote_command.py::test_a_part_is_not_taken_for_the_whole",
    ),
    Mutation(
        "remote-cancel: whoever stops reading ends the query at the server",
        code("cli/remote.py"),
        "if not result.over:",
        "if result.over:",
        "tests/explore/test_remote_command.py::test_whoever_interrupts_ends_the_query_at_the_server",
    ),
    Mutation(
        "remote-tenant: a tenant that is named is the token's own",
        code("cli/asking.py"),
        "if tenant and tenant != server.tenant:",
        "if not tenant and tenant != server.tenant:",
        "tests/explore/test_remote_command.py::test_the_token_says_whose_tables_these_are",
    ),
    Mutation(
        "whole-file: no part of an answer has the file's name",
        code("cli/filed.py"),
        """part = path.with_name(f".{path.name}.{os.getpid()}.part")""",
        "part = path",
        "tests/explore/test_query_files.py::test_no_part_of_an_answer_has_the_files_name",
    ),
    Mutation(
        "cut-counts: an answer that is cut is not counted as if it were whole",
        code("api/running.py"),
        "if answer.limited:",
        "if answer.rows < 0:",
        "tests/explore/test_api_dataset.py::test_an_answer_that_is_cut_is_a_problem_not_a_wrong_count",
    ),
    Mutation(
        "held-answer: what is read whole has a bound",
        code("api/running.py"),
        "if held > _MOST_BYTES:",
        "if held < 0:",
        "tests/explore/test_api_dataset.py::test_an_answer_that_is_too_large_to_hold_is_a_problem",
    ),
    Mutation(
        "many-buckets: no width makes buckets without end",
        code("api/histogram.py"),
        "if made.count > MOST_ASKED:",
        "if made.count < 0:",
        "tests/explore/test_api_histogram.py::test_a_width_that_is_none_or_makes_too_many_buckets_is_told",
    ),
    Mutation(
        "audit-required: where records are required, nothing is done without room for one",
        code("api/audit.py"),
        "if self._required and self._is_full()",
        "if False and self._is_full()",
        f"{_AUDIT}::test_where_records_are_required_nothing_is_done_without_room_for_one",
    ),
    Mutation(
        "audit-lost: a record that finds no room is counted",
        code("api/audit.py"),
        "if not taken:",
        "if taken is None:",
        f"{_AUDIT}::test_while_kafka_is_away_questions_are_answered_and_what_is_lost_is_counted",
    ),
    Mutation(
        "audit-end: an answer that breaks off is recorded",
        code("api/audit.py"),
        "        finally:\n            self._end()",
        "        finally:\n            pass\n        self._end()",
        f"{_AUDIT}::test_an_answer_that_its_client_leaves_is_recorded_as_broken_off",
    ),
    Mutation(
        "limit-first: no work is done for a request that is one too many",
        code("api/app.py"),
        "        self._limits.take(who)\n        return who",
        "        return who",
        "tests/explore/test_api_limits.py::test_one_request_too_many_is_a_problem_and_no_query",
    ),
    Mutation(
        "limit-address: a good token is not refused for its address",
        code("api/limits.py"),
        "        self._tokens.take(token, now)",
        '        self._tokens.take(token, now)\n        self.failed("127.0.0.1")',
        "tests/explore/test_api_limits.py::test_li3_wrong_tokens_are_limited_by_address_and_a_good_one_is_not",
    ),
    Mutation(
        "saved-again: a change is made of what is there when it is made",
        code("table/saved.py"),
        "change(now.entries), uuid",
        "change({}), uuid",
        "tests/explore/test_api_saved.py::test_sq2_of_many_changes_at_once_none_is_lost",
    ),
    Mutation(
        "saved-unheard: a change that succeeded unheard is not made twice, nor told as failed",
        code("table/saved.py"),
        "            return there.change == saved.change\n        there",
        "            raise\n        there",
        "tests/explore/test_api_saved.py::test_sq3_a_change_that_succeeded_unheard_is_found",
    ),
    Mutation(
        "saved-precondition: a change says which state it means",
        code("api/saving.py"),
        "    if match is None and (none is None or not may_be_new):",
        "    if False:",
        "tests/explore/test_api_saved.py::test_a_change_that_does_not_say_which_state_it_means_is_refused",
    ),
)
