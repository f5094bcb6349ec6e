"""Whatever fact is generated, the ledger gives it back, keeps it once, and notices when it is changed."""

from __future__ import annotations

import math
import sqlite3
from contextlib import closing
from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.records.generated import KINDS, facts, figures, keys, moments, of_type, texts

from trimtab.errors import PermanentError
from trimtab.records.facts import ModelTrained, PassFinished, VerdictsGiven
from trimtab.records.journal import kind_of
from trimtab.records.ledger import Draft, Ledger, LedgerConflict
from trimtab.records.requirement import Verdict

AT = datetime(2013, 4, 2, 5, tzinfo=UTC)
SOME = settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
drafts = st.builds(Draft, key=keys, fact=facts, at=moments, measured=st.dictionaries(texts, figures, max_size=2))


@pytest.mark.parametrize("kind", KINDS, ids=kind_of)
def test_every_kind_of_fact_reads_back_as_it_was(kind):
    @settings(max_examples=15, suppress_health_check=list(HealthCheck))
    @given(fact=of_type(kind), key=keys, at=moments)
    def holds(fact, key, at):
        with Ledger.open(None) as ledger:
            assert ledger.append(key, fact, at=at)
            entry = ledger.get(key)
            assert (entry.key, entry.at, entry.kind, entry.fact) == (key, at, kind_of(kind), fact)
            assert next(ledger.entries(kind)) == ledger.last(kind) == entry
            assert ledger.append(key, entry.fact, at=at) is False

    holds()


@SOME
@given(given_drafts=st.lists(drafts, max_size=8))
def test_one_key_holds_one_fact_whatever_comes(given_drafts):
    with Ledger.open(None) as ledger:
        standing: dict[str, object] = {}
        for draft in given_drafts:
            key, fact = draft.key, draft.fact
            if key in standing and standing[key] != fact:
                with pytest.raises(LedgerConflict):
                    ledger.append(key, fact, at=draft.at)
            else:
                assert ledger.append(key, fact, at=draft.at, measured=draft.measured) is (key not in standing)
                standing[key] = fact
        assert {entry.key: entry.fact for entry in ledger.entries()} == standing
        assert [entry.seq for entry in ledger.entries()] == list(range(1, len(standing) + 1))
        assert ledger.verify() is None


@SOME
@given(given_drafts=st.lists(drafts, min_size=1, max_size=6, unique_by=lambda draft: draft.key), data=st.data())
def test_a_change_behind_the_ledger_is_found_where_it_was_made(given_drafts, data, tmp_path_factory):
    path = tmp_path_factory.mktemp("tampered") / "ledger.db"
    with Ledger.open(path, survive_power_cut=False) as ledger:
        ledger.append_all(given_drafts)
        head = ledger.head()
    seq = data.draw(st.integers(1, len(given_drafts)))
    column = data.draw(st.sampled_from(["key", "at", "kind", "fact", "measured", "chain", "seq", "gone", "raw"]))
    with closing(sqlite3.connect(path)) as raw, raw:
        for (name,) in raw.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            raw.execute(f"DROP TRIGGER {name}")
        if column == "gone":
            raw.execute("DELETE FROM facts WHERE seq = ?", (seq,))
        elif column == "raw":
            raw.execute("UPDATE facts SET fact = CAST(fact AS BLOB) WHERE seq = ?", (seq,))
        elif column == "seq":
            raw.execute("UPDATE facts SET seq = 1000 WHERE seq = ?", (seq,))
        else:
            raw.execute(f"UPDATE facts SET {column} = {column} || ' ' WHERE seq = ?", (seq,))
    with Ledger.open(path, create=False) as ledger:
        cut_off = column == "gone" and seq == len(given_drafts)
        assert ledger.verify() == (None if cut_off else seq)
        assert ledger.verify(anchor=head) == seq


def test_a_ledger_that_was_written_anew_does_not_match_its_anchor():
    def written(reason: str) -> Ledger:
        ledger = Ledger.open(None)
        for n in range(5):
            ledger.append(
                f"pass:{n}", PassFinished(number=f"{n}", causes=(), actions=(), reason=reason if n == 2 else ""), at=AT
            )
        return ledger

    with written("as it was") as one, written("as one would like it") as other:
        assert other.verify() is None
        assert other.verify(anchor=one.head()) == 5
        assert one.verify(anchor=one.head()) is None


@given(figure=st.sampled_from([math.nan, math.inf, -math.inf]), place=st.sampled_from(["figure", "low", "limit"]))
@settings(max_examples=9)
def test_what_is_no_number_is_refused_by_name(figure, place):
    given_ = {"limit": 0.6, "figure": 0.7} | {place: figure}
    bad = Verdict(metric="quality.recall", status="met", comparison=">=", place="live", **given_)
    good = Verdict(metric="quality.recall", status="met", comparison=">=", place="live", limit=0.6)
    with Ledger.open(None) as ledger:
        named = rf"`verdicts:1` .* verdicts_given\.verdicts\[1\]\.{place} is not a finite number"
        with pytest.raises(PermanentError, match=named):
            ledger.append("verdicts:1", VerdictsGiven(place="live", subject="r", verdicts=(good, bad)), at=AT)
        with pytest.raises(PermanentError, match="measured seconds is not a finite number"):
            ledger.append(
                "pass:1",
                PassFinished(number="1", causes=(), actions=(), reason=""),
                at=AT,
                measured={"seconds": figure},
            )
        assert ledger.count() == 0


@settings(max_examples=3, suppress_health_check=list(HealthCheck))
@given(trained=of_type(ModelTrained))
def test_hyper_parameters_that_json_cannot_hold_are_refused(trained):
    with Ledger.open(None) as ledger:
        for params, said in (
            ({"rate": math.nan}, r"model_trained\.params\.rate is not a finite number"),
            ({"maker": object()}, "cannot be written"),
        ):
            with pytest.raises(PermanentError, match=said):
                ledger.append("model:1", msgspec.structs.replace(trained, params=params), at=AT)
        assert ledger.append("model:1", msgspec.structs.replace(trained, params={"layers": (64, 32)}), at=AT)
        assert ledger.append("model:1", msgspec.structs.replace(trained, params={"layers": [64, 32]}), at=AT) is False
