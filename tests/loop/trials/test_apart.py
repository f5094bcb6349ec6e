"""Two models told apart on the bakery: in code, settings and data, and by what they hold on the same rows."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import msgspec
import numpy as np
import pytest
from tests.loop.conftest import Make, Run

from trimtab.loop.trials.apart import Apart, Telling
from trimtab.records.facts import ModelTrained
from trimtab.records.journal import Entry

FIRST, LATER = datetime(2024, 2, 1, 6, tzinfo=UTC), datetime(2024, 2, 20, 6, tzinfo=UTC)


def trained(run: Run, at: datetime, name: str = "first") -> Entry[ModelTrained]:
    """The model that the loop's training makes at a moment."""
    for draft in run.actor._trained(run.system.model.code, "a test", name, at)[0].facts:
        run.ledger.append(draft.key, draft.fact, at=draft.at, measured=draft.measured)
    entry = run.ledger.last(ModelTrained)
    assert entry is not None
    return entry


def told(run: Run, a: Entry[ModelTrained], b: Entry[ModelTrained]) -> Apart:
    telling = Telling(run.system, run.ledger, run.blobs, run.datasets, lambda *_: None, LATER)
    return telling.apart(a, b)


def with_model(run: Run, **changes: object) -> None:
    """The same run, with another `[model]` from here on."""
    run.system = msgspec.structs.replace(run.system, model=msgspec.structs.replace(run.system.model, **changes))
    for part in (run.observer, run.gate, run.actor, run.loop):
        part.system = run.system


def test_code_parameters_and_data_are_told_in_lines_and_joined_to_what_moved(make: Make) -> None:
    run = make(own=True)
    first = trained(run, FIRST)
    model = Path(run.system.folder, "model.py")
    # The second one looks at the flour alone, and guesses more than it knows.
    model.write_text(model.read_text().replace("fit(train.x,", "fit(train.x * [0, 1, 0, 0],"))
    with_model(run, params={"trees": 2})
    second = trained(run, FIRST, "second")
    found = told(run, first, second)

    assert found.models.params == ("trees: 25 → 2",)
    assert found.models.data == ()
    assert found.models.environment == ()
    (file,) = found.files
    assert (file.path, file.added, file.removed) == ("model.py", 1, 1)
    assert "+    return model.fit(train.x * [0, 1, 0, 0], np.asarray(train.y))" in file.unified
    assert all(not line.startswith(("---", "+++")) for line in file.unified)

    assert found.shared.rows > 500
    assert found.shared.since > first.fact.train_to
    by_metric = {r.metric: r for r in found.requirements}
    auc = by_metric["quality.roc_auc"]
    assert auc.paired is not None
    assert auc.paired.verdict == "worse"
    assert auc.paired.high < 0
    assert auc.moved
    assert (auc.before.status, auc.after.metric) == ("met", "quality.roc_auc")
    assert by_metric["quality.accuracy"].paired is None, "it is required of slices, each on its own"
    assert {p.metric for p in found.others} >= {"quality.log_loss", "quality.brier"}
    assert all(s.low > 0 for s in found.weak)

    back = told(run, second, first)
    assert back.requirements[0].paired.difference == pytest.approx(-auc.paired.difference)
    assert back.models.params == ("trees: 2 → 25",)


def test_models_of_the_same_making_do_not_differ(make: Make) -> None:
    run = make()
    first = trained(run, FIRST)
    found = told(run, first, first)
    assert (found.models.code, found.models.params, found.models.data, found.files) == ((), (), (), ())
    assert not any(r.moved for r in found.requirements)
    assert all(p.difference == 0 for p in found.others)
    assert found.weak == ()


def test_where_nothing_newer_is_labelled_it_says_so(make: Make) -> None:
    run = make()
    first = trained(run, FIRST)
    telling = Telling(run.system, run.ledger, run.blobs, run.datasets, lambda *_: None, first.fact.train_to)
    found = telling.apart(first, first)
    assert found.shared.rows == 0
    assert "newer than what both models were fitted on" in found.shared.reason
    assert found.others == ()
    assert np.isfinite(found.requirements[0].after.figure)
