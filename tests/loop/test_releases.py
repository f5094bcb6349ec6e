"""Where every release stands, folded from the moves alone."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.loop.observed import NOW

from trimtab.loop.releases import Releases, fold
from trimtab.records.fact import Fact
from trimtab.records.facts import PassFinished, ReleaseMoved
from trimtab.records.model import Stage


def moves(*those: tuple[str, Stage | None, Stage]) -> Releases:
    """The releases after these moves (release, from, to), an hour apart."""
    facts: list[Fact] = []
    for name, source, to in those:
        facts.append(ReleaseMoved(release=name, model=f"abcdef{name[-1]}", source=source, to=to, why="a reason"))
        facts.append(PassFinished(number="1", causes=(), actions=(), reason="between"))
    return fold((NOW + timedelta(hours=position), fact) for position, fact in enumerate(facts))


FIRST: tuple[tuple[str, Stage | None, Stage], ...] = (("r-001", None, "candidate"), ("r-001", "candidate", "live"))
SECOND: tuple[tuple[str, Stage | None, Stage], ...] = (
    ("r-002", None, "candidate"),
    ("r-002", "candidate", "shadow"),
    ("r-002", "shadow", "canary"),
)


def test_nothing_is_nothing() -> None:
    empty = fold(())
    assert (empty.live, empty.challenger, empty.standby, empty.next_name()) == (None, None, None, "r-001")


def test_a_release_makes_its_way() -> None:
    for count, stage in enumerate(["candidate", "shadow", "canary"], 1):
        found = moves(*FIRST, *SECOND[:count])
        assert found.live is not None
        assert found.live.release == "r-001"
        assert found.challenger is not None
        assert (found.challenger.release, found.challenger.stage, found.challenger.moves) == ("r-002", stage, count)
        assert found.standby is None
        assert found.next_name() == "r-003"


def test_the_former_live_release_stands_by_and_is_no_challenger() -> None:
    found = moves(*FIRST, *SECOND, ("r-001", "live", "shadow"), ("r-002", "canary", "live"))
    assert found.live is not None
    assert found.live.release == "r-002"
    assert found.standby is not None
    assert (found.standby.release, found.standby.stage) == ("r-001", "shadow")
    assert found.challenger is None
    back = moves(
        *FIRST,
        *SECOND,
        ("r-001", "live", "shadow"),
        ("r-002", "canary", "live"),
        ("r-002", "live", "rolled_back"),
        ("r-001", "shadow", "live"),
    )
    assert back.live is not None
    assert (back.live.release, back.live.standby, back.live.moves) == ("r-001", False, 4)
    assert (back.standby, back.challenger) == (None, None)


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("r-001", "r-001"),
        ("abcdef2", "r-002"),
        ("abcdef", None),
        ("abc", None),
        ("r-00", None),
        ("r-009", None),
        ("", None),
    ],
)
def test_a_release_is_found_by_its_name_or_its_model(name: str, found: str | None) -> None:
    release = moves(*FIRST, *SECOND).named(name)
    assert (release.release if release else None) == found
    alone = moves(*FIRST).named(name)
    assert (alone.release if alone else None) == ("r-001" if name in ("r-001", "abcdef") else None)


stages = st.sampled_from(["candidate", "shadow", "canary", "live", "retired", "rejected", "rolled_back"])


@given(st.lists(st.tuples(st.sampled_from(["r-001", "r-002", "r-003"]), st.none() | stages, stages), max_size=12))
def test_the_last_move_is_where_a_release_stands(those: list[tuple[str, Stage | None, Stage]]) -> None:
    found = moves(*those)
    last = {name: (source, to) for name, source, to in those}
    assert {r.release: r.stage for r in found.all} == {name: to for name, (_, to) in last.items()}
    assert [r.release for r in found.all] == list(dict.fromkeys(name for name, *_ in those))
    for release in found.all:
        assert release.standby == (last[release.release] == ("live", "shadow"))
        assert release.moves == sum(name == release.release for name, *_ in those)
