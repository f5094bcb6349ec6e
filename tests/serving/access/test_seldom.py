"""What is said again and again by callers is said once a minute by the server."""

from __future__ import annotations

import pytest

from trimtab.serving.access.seldom import Seldom


def test_the_same_is_said_once_a_minute_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    now = [100.0]
    seldom = Seldom(lambda: now[0])
    for _ in range(1001):
        seldom.warn("one thing")
    seldom.warn("another")
    now[0] += 61.0
    seldom.warn("one thing")
    seldom.warn("another")
    assert [record.getMessage() for record in caplog.records] == [
        "one thing",
        "another",
        "one thing (and 1,000 times since it was last said)",
        "another",
    ]
