"""What becomes of groups from look to look: their pace, when they will have caught up, and what is wrong with them."""

from __future__ import annotations

import math

import pytest
from structlog.testing import capture_logs

from logflume import metrics
from logflume.kafka.groups import Lag
from logflume.watch.course import TOLD_SECONDS, Course
from logflume.watch.look import Finding, Late, What

STALL = 120.0


class Group:
    """A group that reads one partition of a topic."""

    def __init__(self, stage: str = "sink", topic: str = "t") -> None:
        self.stage = stage
        self.topic = topic
        self.offset: int | None = 0
        self.end = 0

    def late(self) -> Late:
        lag = self.end - (self.offset or 0)
        return Late(self.stage, Lag("g", self.topic, 0, self.offset, self.end, lag), float(lag), True)


def findings(course: Course, group: Group, now: float, wait: float = 0.0) -> list[Finding]:
    return course.follow([group.late()], wait, now)[1]


def test_a_group_that_does_more_than_comes_is_told_when_it_will_have_caught_up() -> None:
    course, group = Course(STALL), Group()
    group.end = 1000
    assert course.follow([group.late()], 0, 0)[0][0].catch_up_seconds is None
    for second in range(1, 91):
        group.end, group.offset = 1000 + 10 * second, 15 * second
        [pace] = course.follow([group.late()], 0, second)[0]
    assert (pace.came_a_second, pace.done_a_second) == (10, 15)
    assert pace.catch_up_seconds == pytest.approx((1000 - 5 * 90) / 5)
    for second in range(91, 200):
        group.end += 10
        [pace] = course.follow([group.late()], 0, second)[0]
    assert pace.catch_up_seconds == math.inf
    group.offset = group.end
    assert course.follow([group.late()], 0, 200)[0][0].catch_up_seconds == 0


def test_a_group_that_keeps_pace_is_told_when_what_lies_there_now_will_be_done() -> None:
    course, group = Course(STALL), Group()
    for second in range(120):
        group.end, group.offset = 100 * second, max(0, 100 * second - (450 if second % 2 else 550))
        [pace] = course.follow([group.late()], 0, second)[0]
    assert pace.catch_up_seconds == pytest.approx(4.5, abs=1.2)


def test_co1_a_group_without_offsets_has_vanished_if_it_had_some() -> None:
    course, group = Course(STALL), Group()
    group.offset, group.end = None, 5
    assert findings(course, group, 0) == []
    group.offset = 5
    assert findings(course, group, 1) == []
    group.offset = None
    [found] = findings(course, group, 2)
    assert (found.what, found.group) == (What.VANISHED, "g")
    group.offset = 5
    assert findings(course, group, 3) == []


def test_co2_a_topic_of_which_nobody_commits_anything_is_told_after_a_while() -> None:
    course, group = Course(STALL), Group()
    group.offset = None
    assert findings(course, group, 0) == []
    group.end = 5
    assert findings(course, group, 1) == []
    assert [found.what for found in findings(course, group, 1 + STALL)] == [What.UNREAD]
    other = Late("", Lag("other", "t", 0, 5, 5, 0), 0.0, True)
    assert course.follow([group.late(), other], 0, 200)[1] == [], "somebody else reads it"


def test_co3_an_offset_that_goes_backwards_is_counted_and_told_for_some_time() -> None:
    course, group = Course(STALL), Group(topic="back")
    group.end = group.offset = 9
    findings(course, group, 0)
    group.offset = 4
    [found] = findings(course, group, 1)
    assert found.text == "group g went back in 1 partitions of back, in 0 from 9 to 4"
    group.offset = 9
    assert findings(course, group, TOLD_SECONDS) == [found]
    assert findings(course, group, 1 + TOLD_SECONDS) == []
    assert metrics.LAG_BACKWARDS.labels("g", "back")._value.get() == 1


def test_co4_an_offset_that_stays_with_lag_is_stalled_and_a_sink_may_wait_for_its_jobs() -> None:
    course, group = Course(STALL), Group()
    group.end = 5
    assert findings(course, group, 0) == []
    assert findings(course, group, STALL + 29, wait=30) == []
    [found] = findings(course, group, STALL + 30, wait=30)
    assert (found.what, found.count) == (What.STALLED, 1)
    group.offset = 1
    assert findings(course, group, STALL + 31, wait=30) == []
    group.offset = group.end
    assert findings(course, group, 1000) == [], "nothing to commit is no stall"


def test_co5_what_begins_and_what_is_over_is_logged_once() -> None:
    course, group = Course(STALL), Group("sort")
    group.end = 5
    with capture_logs() as logs:
        for now in (0.0, STALL, STALL + 1, STALL + 2):
            findings(course, group, now)
        group.offset = 5
        findings(course, group, STALL + 3)
    assert [(log["event"], log["log_level"]) for log in logs] == [
        ("watch.commit-stalled", "error"),
        ("watch.commit-stalled-no-more", "warning"),
    ]
