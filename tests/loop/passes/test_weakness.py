"""Where a candidate does worse: as the gate finds it and tells it."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import polars as pl
from tests.loop.conftest import Make

from trimtab.loop.passes.weakness import found, loss_metric, own_metric, warning
from trimtab.loop.past.history import MOMENT
from trimtab.records.describe import describe
from trimtab.records.facts import ModelTrained
from trimtab.records.slices import WeakSlicesFound

NOW = datetime(2024, 2, 1, 6, tzinfo=UTC)


def test_the_gate_looks_for_them_and_models_that_are_sound_have_none(make: Make) -> None:
    run = make()
    run.loop.settle(NOW)
    entry = run.ledger.last(WeakSlicesFound)
    assert entry is not None
    assert (entry.fact.release, entry.fact.against, entry.fact.metric) == ("r-001", "", "surprise")
    assert entry.fact.rows > 100
    assert entry.fact.slices == ()
    assert "is nowhere found worse than on the whole" in describe(entry)


def test_a_shop_that_a_challenger_is_wrong_about_is_named(make: Make) -> None:
    run = make()
    run.loop.settle(NOW)
    model = run.ledger.last(ModelTrained).fact
    rows = run.datasets.labelled(run.span.end).filter(pl.col("sold_out").is_not_null())
    generator = np.random.default_rng(1)
    y = rows["sold_out"].cast(pl.Float64).to_numpy()
    good = np.clip(0.2 + 0.6 * y + generator.normal(0, 0.1, len(y)), 0.01, 0.99)
    shop = rows["shop"].unique().sort()[1]
    bad = np.where((rows["shop"] == shop).to_numpy(), 1 - good, good)
    fact = found(run.system, "r-002", rows, y=y, model=(model, bad), other=(model, good))
    assert (fact.metric, fact.against) == (loss_metric(run.system), model.identity.id)
    assert fact.metric == "value.per_1000"
    assert fact.slices[0].where == (("shop", shop),)
    assert fact.slices[0].low > 0
    assert fact.slices[0].rows == (rows["shop"] == shop).sum()
    assert warning(fact).startswith(f"worse in value.per_1000 where shop={shop} (")
    alone = found(run.system, "r-002", rows, y=y, model=(model, bad))
    assert alone.metric == own_metric(run.system) == "surprise"
    assert alone.slices[0].where == (("shop", shop),)
    same = found(run.system, "r-002", rows, y=y, model=(model, good), other=(model, good))
    assert same.slices == ()
    assert warning(same) == ""
    assert rows[MOMENT].is_sorted()
