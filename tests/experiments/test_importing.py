"""Runs taken over: what the ledger holds of them, whatever store they come from, and how they stand beside ours."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from trimtab.experiments.beside import Side, beside
from trimtab.experiments.importing import FoundRun, imported, take_in
from trimtab.records.blobs import Blobs
from trimtab.records.imported import ImportedFile, Points, RunImported
from trimtab.records.ledger import Ledger

NOW = datetime(2026, 3, 1, tzinfo=UTC)


class Kept:
    """A store that is these runs."""

    tool = "kept"
    place = "here"

    def __init__(self, *runs: FoundRun, dies_after: int = 1_000_000) -> None:
        self.all = runs
        self.dies_after = dies_after

    def runs(self, experiment: str) -> Iterator[FoundRun]:
        for number, run in enumerate(self.all):
            if number == self.dies_after:
                raise KeyboardInterrupt
            yield run

    def history(self, run: FoundRun) -> Mapping[str, Points]:
        return {name: Points(steps=(0,), at=(1,), values=(value,)) for name, value in run.metrics.items()}

    def files(self, run: FoundRun) -> list[ImportedFile] | None:
        return (
            [ImportedFile(path="model.onnx", size=4), ImportedFile(path="notes.txt", size=4)] if run.files_at else None
        )

    def copy(self, run: FoundRun, path: str, target: Path) -> None:
        target.write_bytes(path[:4].encode())

    def close(self) -> None:
        """Nothing."""


def run(number: int, **more: object) -> FoundRun:
    whole = FoundRun(
        id=f"run-{number}", name=f"n{number}", experiment="e", outcome="finished", started=NOW, files_at="there",
        metrics={"auc": 0.5, "broken": None}, params={"url": "https://ann:key@host/x"},
    )  # fmt: skip
    return msgspec.structs.replace(whole, **more)


def test_killed_imports_go_on_and_nothing_is_taken_twice(tmp_path: Path) -> None:
    runs = [run(i) for i in range(65)]
    with Ledger.open(tmp_path / "ledger.db") as ledger:
        blobs = Blobs(tmp_path / "blobs")
        with pytest.raises(KeyboardInterrupt):
            take_in(Kept(*runs, dies_after=50), ledger, blobs, experiment="", copied="none", now=NOW)
        assert ledger.count(RunImported) == 40  # whole batches
        taken = take_in(Kept(*runs), ledger, blobs, experiment="", copied="none", now=NOW)
        assert (taken.new, taken.known) == (25, 40)
        assert [one.run for one in imported(ledger)] == [one.id for one in runs]
        assert ledger.verify() is None


def test_what_is_left_out_is_counted(tmp_path: Path) -> None:
    runs = [
        run(1),
        run(2, outcome="running"),
        run(3, outcome="deleted"),
        run(4, files_at=""),
        run(5, tags={"t": "x" * 10_001}),
    ]
    with Ledger.open(tmp_path / "ledger.db") as ledger:
        taken = take_in(Kept(*runs), ledger, Blobs(tmp_path / "blobs"), experiment="", copied="models", now=NOW)
        assert taken.left_out == {
            "running runs": 1,
            "deleted runs": 1,
            "points that are no finite numbers (kept as holes)": 3,
            "metrics whose last value is no finite number": 3,
            "runs whose files cannot be reached from here": 1,
            "texts cut after 10,000 characters": 1,
        }
        assert taken.copied == 2
        first = imported(ledger)[0]
        assert first.params == {"url": "https://host/x"}
        assert first.metrics == {"auc": 0.5}
        assert [bool(file.digest) for file in first.files] == [True, False]
        assert Blobs(tmp_path / "blobs").get(first.files[0].digest) == b"mode"


def test_the_newest_word_on_a_run_counts(tmp_path: Path) -> None:
    with Ledger.open(tmp_path / "ledger.db") as ledger:
        blobs = Blobs(tmp_path / "blobs")
        for tag in ("old", "new"):
            take_in(Kept(run(1, tags={"is": tag}), run(2)), ledger, blobs, experiment="", copied="none", now=NOW)
        assert [one.tags for one in imported(ledger)] == [{"is": "new"}, {}]


_names = st.sampled_from(["roc_auc", "quality.roc_auc", "other.roc_auc", "loss", "quality.loss", "x"])
_metrics = st.dictionaries(_names, st.floats(0, 1))


@given(_metrics, _metrics)
@example({"quality.roc_auc": 0.1, "other.roc_auc": 0.2}, {"roc_auc": 0.3})
@example({"roc_auc": 0.3}, {"quality.roc_auc": 0.1, "other.roc_auc": 0.2})
def test_no_figure_of_either_side_is_lost(a: dict[str, float], b: dict[str, float]) -> None:
    def side(metrics: dict[str, float]) -> Side:
        return Side(name="n", where="w", params={}, metrics=metrics, data="")

    found = beside(side(a), side(b)).metrics
    assert {name: first for name, (first, _) in found.items() if first is not None} == a
    assert sorted(second for _, second in found.values() if second is not None) == sorted(b.values())
    for name in a.keys() & b.keys():
        assert found[name] == (a[name], b[name])


def test_metrics_stand_together_though_they_are_called_differently() -> None:
    ours = Side(name="a", where="", params={"depth": "3"}, metrics={"quality.roc_auc": 0.7}, data="")
    theirs = Side(name="b", where="", params={"depth": "4", "more": "1"}, metrics={"roc_auc": 0.6}, data="")
    found = beside(ours, theirs)
    assert found.metrics == {"quality.roc_auc": (0.7, 0.6)}
    assert found.params == {"depth": ("3", "4"), "more": (None, "1")}
