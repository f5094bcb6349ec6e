"""From entries to what is shown: nothing lost, nothing counted twice, unknown never taken for met."""

from __future__ import annotations

from datetime import timedelta

from msgspec.structs import replace
from tests.console.history import REQUIREMENTS, START, History, backtests, system, year

from trimtab.console.collect import collect
from trimtab.console.report import render
from trimtab.records.facts import (
    ActionIntended,
    ColumnDrift,
    DatasetCommitted,
    DriftMeasured,
    ReleaseMoved,
    VerdictsGiven,
)
from trimtab.records.studies import BacktestFinished


def test_counts_are_those_of_the_ledger() -> None:
    entries = year()
    data = collect(entries, backtests(), system())
    moves = [e.fact for e in entries if isinstance(e.fact, ReleaseMoved)]
    assert sum(len(story.steps) for story in data.releases) == len(moves)
    assert data.moved("rejected") == sum(move.to == "rejected" for move in moves) == 3
    assert data.moved("rolled_back") == 1
    assert data.promoted == 6  # one of them came back after a rollback: counted once
    assert len(data.models) == 9
    assert data.facts == len(entries)


def test_every_verdict_is_shown_once() -> None:
    entries = year()
    data = collect(entries, [], system())
    for line, requirement in zip(data.requirements, REQUIREMENTS, strict=True):
        given = [
            verdict
            for entry in entries
            if isinstance(entry.fact, VerdictsGiven)
            for verdict in entry.fact.verdicts
            if verdict.metric == requirement.metric and verdict.place == line.place
        ]
        assert len(line.points) == len(given)
        for status in ("met", "broken", "unknown"):
            assert line.count(status) == sum(v.status == status for v in given)


def test_live_figures_come_before_those_of_a_gate() -> None:
    lines = {line.metric: line.place for line in collect(year(), [], system()).requirements}
    assert lines["quality.roc_auc"] == "live"
    assert lines["data.completeness"] == "data"
    assert lines["resources.train_time"] == "release"


def test_unknown_is_not_met() -> None:
    history = History()
    given = history.verdict(0, None, None, 0, "live")
    history.add("v", VerdictsGiven(place="live", subject="m", verdicts=(given,)), START)
    data = collect(history.entries, [], replace(system(), requirements=REQUIREMENTS[:1]))
    assert (data.requirements[0].count("met"), data.requirements[0].count("unknown")) == (0, 1)
    page = render(data)
    assert "0% <small>of verdicts met" in page
    assert "100% unknown" in page


def test_a_requirement_that_nothing_measured_is_shown() -> None:
    data = collect([], [], system())
    assert [line.metric for line in data.requirements] == [r.metric for r in REQUIREMENTS]
    assert not any(line.points for line in data.requirements)


def test_evidence_belongs_to_the_move_it_decided() -> None:
    data = collect(year(), [], system())
    refused = next(story for story in data.releases if story.steps[-1].to == "rejected")
    candidate, rejected = refused.steps
    assert not candidate.compared
    assert not candidate.evidence
    assert [item.verdict for item in rejected.compared] == ["no_difference"]
    assert [verdict.metric for verdict in rejected.evidence] == [REQUIREMENTS[i].metric for i in (0, 1, 2, 7)]


def test_drift_shows_one_distance_a_column_and_any_alarm() -> None:
    history = History()

    def column(statistic: str, effect: float, drifted: bool) -> ColumnDrift:
        return ColumnDrift(column="temp", statistic=statistic, effect=effect, low=0, high=1, rows=5, drifted=drifted)

    for day, columns in enumerate(
        [(column("psi", 2.0, True), column("ks", 0.1, False)), (column("ks", 0.3, False), column("psi", 0.1, False))]
    ):
        at = START + timedelta(days=day)
        history.add(f"{day}", DriftMeasured(model="m", window_from=at, window_to=at, rows=5, columns=columns), at)
    table = collect(history.entries, [], system()).drift
    assert len(table.rows) == 1
    assert (table.rows[0].statistic, table.rows[0].effects, table.rows[0].drifted) == ("ks", (0.1, 0.3), (True, False))


def test_quarantined_rows_add_up() -> None:
    history = History()
    for day, reason in enumerate(["null key", "bad hour", "null key"]):
        fact = DatasetCommitted(
            dataset="flights", version=f"v{day}", parent=None, rows=10 * day, added=10, until=START,
            quarantined={reason: day + 1},
        )  # fmt: skip
        history.add(f"{day}", fact, START + timedelta(days=day))
    (row,) = collect(history.entries, [], system()).datasets
    assert (row.version, row.versions, row.rows) == ("v2", 3, 20)
    assert row.quarantined == {"null key": 4, "bad hour": 2}


def test_an_action_without_an_outcome_is_said_to_have_none() -> None:
    history = History()
    history.add("i", ActionIntended(action="1", verb="train", why="drift", arguments={}), START)
    data = collect(history.entries, [], system())
    assert data.actions[0].outcome is None
    assert "no outcome yet" in render(data)


def test_a_backtest_given_counts_before_one_in_the_ledger() -> None:
    history = History()
    old = backtests(1)[0]
    history.add("b", old, START)
    assert collect(history.entries, [], system()).policies[0].value == old.value
    new = replace(old, value=1.0)
    policies = collect(history.entries, [new, *backtests()[1:]], system()).policies
    assert [line.policy for line in policies] == ["declared", "never", "every:30d", "every:90d"]
    assert policies[0].value == 1.0
    assert isinstance(new, BacktestFinished)


def test_models_say_in_three_words_what_changed() -> None:
    models = collect(year(), [], system()).models
    assert models[0].changed == ()
    assert all(model.changed == ("data",) for model in models[1:])
