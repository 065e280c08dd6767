"""Mutations of the page and its sessions."""

from __future__ import annotations

from tests.mutations.mutation import Mutation, code

_PAGE = "tests/explore/test_page.py"
_SESSIONS = "tests/explore/test_page_session.py"

MUTATIONS = (
    Mutation(
        "usage-trouble: a table that can't be read takes no other off the usage",
        code("api/usage.py"),
        "except Refused as error:  # such as",
        "except ZeroDivisionError as error:  # such as",
        f"{_PAGE}::test_a_table_that_can_not_be_read_is_told_of_in_its_place",
    ),
    Mutation(
        "chart-height: the highest bar fills the chart",
        code("page/chart.py"),
        "(10, 12, 15, 20, 25, 30, 40, 50, 60, 80, 100)",
        "(10, 20, 50, 100)",
        "tests/unit/test_page_chart.py::test_the_highest_bar_fills_the_chart_by_three_quarters_and_none_goes_beyond",
    ),
    Mutation(
        "home-trouble: a table that can't be read takes no other off the page",
        code("api/app.py"),
        "        except Refused as error:\n            return asdict",
        "        except ZeroDivisionError as error:\n            return asdict",
        f"{_PAGE}::test_a_table_that_can_not_be_read_is_told_of_in_its_place",
    ),
    Mutation(
        "page-text: a text that looks like a time is shown as it is",
        code("page/html.py"),
        ' if type.startswith("timestamp") else None',
        "",
        f"{_PAGE}::test_a_text_that_looks_like_a_time_is_shown_as_it_is",
    ),
    Mutation(
        "page-calendar: a time at the end of the calendar is shown in any zone",
        code("page/zone.py"),
        "    except OverflowError:  # there it is",
        "    except ZeroDivisionError:  # there it is",
        "tests/unit/test_page_cells.py::test_only_a_time_is_shown_as_one",
    ),
    Mutation(
        "page-room: a value for which no address has room has no links",
        code("page/view.py"),
        "return len(_text(value)) <= _LONGEST_VALUE",
        "return True",
        f"{_PAGE}::test_a_value_for_which_no_address_has_room_has_no_links",
    ),
    Mutation(
        "find-slash: a record is found by an id that has a slash",
        code("api/app.py"),
        "/find/{id:path}",
        "/find/{id}",
        f"{_PAGE}::test_a_record_is_found_by_an_id_that_has_a_slash",
    ),
    Mutation(
        "session-signature: a cookie that was changed opens nothing",
        code("api/session.py"),
        "        if not hmac.compare_digest(signature.encode(), self._signature(found, int(end)).encode()):",
        "        if not signature:",
        f"{_SESSIONS}::test_se2_a_cookie_that_was_changed_opens_nothing",
    ),
    Mutation(
        "session-secret: a session ends when its token gets another secret",
        code("api/session.py"),
        "\\0{holder.token.sha256}",
        "",
        f"{_SESSIONS}::test_se1_a_session_ends_when_its_token_gets_another_secret",
    ),
    Mutation(
        "session-end: a session ends after its hours",
        code("api/session.py"),
        "if found is None or int(end) * 1_000_000_000 <= now_ns:",
        "if found is None:",
        f"{_SESSIONS}::test_a_session_ends_after_its_hours",
    ),
    Mutation(
        "session-scope: a session ends when its token may search no more",
        code("api/session.py"),
        "            return None\n        return allowed(found)",
        "            return None\n        return found",
        f"{_SESSIONS}::test_se1_a_session_ends_when_its_token_may_search_no_more",
    ),
    Mutation(
        "origin-site: another site's page changes nothing by our cookie",
        code("api/session.py"),
        '(site != "same-origin") if site is not None',
        "False if site is not None",
        f"{_SESSIONS}::test_p2_another_sites_page_changes_nothing",
    ),
    Mutation(
        "origin-silent: who does not say where it comes from changes nothing by our cookie",
        code("api/session.py"),
        """(request.headers.get("origin") != here)""",
        """(request.headers.get("origin", here) != here)""",
        f"{_SESSIONS}::test_p2_a_browser_that_says_only_the_origin_is_believed",
    ),
    Mutation(
        "page-back: nobody is sent to another site",
        code("page/app.py"),
        ' and not back.startswith("//")',
        "",
        f"{_SESSIONS}::test_nobody_is_sent_to_another_site",
    ),
    Mutation(
        "page-escape: nothing of a record becomes markup",
        code("page/html.py"),
        "        autoescape=True,",
        "        autoescape=False,",
        f"{_PAGE}::test_p3_nothing_of_a_record_or_an_address_becomes_markup",
    ),
    Mutation(
        "page-policy: a browser runs nothing that is not from here",
        code("page/app.py"),
        "        \"script-src 'self'\",",
        "        \"script-src 'self' 'unsafe-inline'\",",
        f"{_SESSIONS}::test_p3_every_answer_lets_run_and_load_only_what_comes_from_here",
    ),
    Mutation(
        "page-alternatives: what is filtered in goes to each alternative",
        code("page/view.py"),
        "for at, each in enumerate((*group, new))",
        "for at, each in enumerate((*group, new) if number else group)",
        f"{_PAGE}::test_what_is_filtered_in_goes_to_each_alternative",
    ),
    Mutation(
        "page-anchor: pages have each record once",
        code("page/view.py"),
        " OFFSET {(self.page - 1) * PAGE_ROWS}",
        " OFFSET {(self.page - 1) * (PAGE_ROWS - 1)}",
        f"{_PAGE}::test_pages_have_each_record_once",
    ),
    Mutation(
        "page-saved: a saved query is replaced only when that was asked for",
        code("page/queries.py"),
        'if_none_match="*"',
        'if_match="*"',
        f"{_PAGE}::test_nothing_that_was_saved_is_lost_by_the_way",
    ),
)
