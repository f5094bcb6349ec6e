"""A source that is away for a while costs its own dataset's news, and no other's."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from tests.loop.past.test_history import START, SYSTEM

from trimtab.data.port import Source
from trimtab.data.sources.opening import open_source
from trimtab.data.spec import DatasetSpec
from trimtab.errors import TemporaryError
from trimtab.loop.past.stored import StoredDatasets
from trimtab.loop.ports import PartlyCollected
from trimtab.records.ledger import Ledger


def test_one_dataset_away_leaves_the_others(tmp_path: Path) -> None:
    away = {"batches"}

    def opener(spec: DatasetSpec, folder: Path) -> Source:
        if spec.name in away:
            raise TemporaryError("dataset 'batches': the bakery's database does not answer", hint="wait")
        return open_source(spec, folder)

    now = START + timedelta(days=10)
    with Ledger.open(None) as ledger:
        datasets = StoredDatasets(SYSTEM, tmp_path, ledger, opener=opener)
        with pytest.raises(PartlyCollected, match="the bakery's database does not answer") as caught:
            datasets.collect(now)
        assert [commit.dataset for commit in caught.value.commits] == ["weather"]
        assert caught.value.hint == "wait"
        away.clear()
        assert {commit.dataset for commit in datasets.collect(now)} == {"batches", "weather"}
