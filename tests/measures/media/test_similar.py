"""Near duplicates against all pairs compared."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.measures.balance import covered_share, evenness, rarest_rows, rarest_share
from trimtab.measures.media.similar import near_duplicates


@given(st.integers(0, 100_000), st.integers(1, 60), st.integers(0, 15))
def test_every_near_one_is_found_and_no_other(seed: int, count: int, distance: int) -> None:
    dice = np.random.default_rng(seed)
    own = dice.integers(0, 2**64, max(1, count // 3), dtype=np.uint64)
    hashes = own[dice.integers(0, own.size, count)]
    for row in range(count):
        for bit in dice.integers(0, 64, dice.integers(0, 9)):
            hashes[row] ^= np.uint64(1) << np.uint64(bit)
    found = near_duplicates(hashes, distance)
    for row in range(count):
        near = [e for e in range(row) if (int(hashes[row]) ^ int(hashes[e])).bit_count() <= distance]
        assert (found[row] in near) if near else found[row] == -1


def test_many_of_one_hash() -> None:
    found = near_duplicates(np.zeros(5_000, np.uint64), 4)
    assert (found[1:] >= 0).all()
    assert found[0] == -1
    assert near_duplicates(np.zeros(0, np.uint64), 4).size == 0
    with pytest.raises(ValueError, match="16 bits"):
        near_duplicates(np.zeros(1, np.uint64), 16)


def test_rarest_class() -> None:
    found = rarest_share({"yes": 30, "no": 970})
    assert found.figure == 0.03
    assert found.low is not None
    assert found.high is not None
    assert found.low < 0.03 < found.high
    assert found.reason == "yes: 30 of 1,000 rows"
    assert rarest_share({"a": 5, "b": 0}).figure == 0.0
    assert rarest_share({}).figure is None
    assert rarest_rows({"a": 5, "b": 2}).figure == 2.0
    assert rarest_rows({}).figure is None
    assert covered_share({"a": 5, "b": 2}, 3) == 0.5
    assert covered_share({}, 3) == 1.0


@given(st.dictionaries(st.text(min_size=1, max_size=3), st.integers(0, 100), min_size=2, max_size=6))
def test_evenness_is_a_share(counts: dict[str, int]) -> None:
    assert 0.0 <= evenness(counts) <= 1.0 + 1e-12
    assert evenness(dict.fromkeys(counts, 7)) == pytest.approx(1.0)
