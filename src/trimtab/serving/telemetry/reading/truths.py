"""The truth of each id: the newest by its own moment, whenever it came."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from trimtab.serving.telemetry.events import Told
from trimtab.serving.telemetry.reading.columns import Columns
from trimtab.serving.telemetry.reading.index import KeyIndex, Keys, Numbers

_KINDS = {"at": np.int64, "label": np.float64, "segment": np.int32, "place": np.int64, "contested": np.bool_}


class TruthTable:
    """One truth for each id. Of two the later by its moment holds, of two of the same moment the one that stands later
    in the telemetry. `repeated` counts those that came for an id that had one, `contested` ids of which they differ,
    `unreadable` truths that name no class and are no number."""

    def __init__(self, index: KeyIndex, classes: tuple[str, ...]) -> None:
        self.repeated = 0
        self.unreadable = 0
        self._index = index
        self._classes = {name: float(place) for place, name in enumerate(classes)}
        self._columns = Columns(_KINDS)

    @property
    def contested(self) -> int:
        """Ids for which different truths came."""
        return int(self._columns["contested"].sum())

    def add(self, told: Told, segment: int, rank: NDArray[np.int64]) -> tuple[Keys, Numbers]:
        """Takes in truths of one segment (`rank` orders segments); returns the keys whose truth changed and where it
        stands."""
        labels = self._labels(told)
        readable = np.flatnonzero(~np.isnan(labels))
        self.unreadable += len(labels) - len(readable)
        keys = self._index.keys(told.ids).at(readable)
        at, labels, places = told.at[readable], labels[readable], told.start + readable
        last, contested = self._newest(keys, at, labels)
        keys, at, labels, places = keys.at(last), at[last], labels[last], places[last]

        asked, slots = self._index.find(keys)
        held = self._columns
        self.repeated += len(asked)
        held["contested"][slots] |= (held["label"][slots] != labels[asked]) | contested[asked]
        before = np.stack([held["at"][slots], rank[held["segment"][slots]], held["place"][slots]])
        after = np.stack([at[asked], np.full(len(asked), rank[segment]), places[asked]])
        newer = _later(after, before)
        asked_newer, slots = asked[newer], slots[newer]
        held["at"][slots], held["label"][slots] = at[asked_newer], labels[asked_newer]
        held["segment"][slots], held["place"][slots] = segment, places[asked_newer]

        new = np.ones(len(at), bool)
        new[asked] = False
        fresh = np.flatnonzero(new)
        values = {
            "at": at[fresh],
            "label": labels[fresh],
            "segment": segment,
            "place": places[fresh],
            "contested": contested[fresh],
        }
        start = held.extend(len(fresh), values)
        numbers = np.arange(start, held.size)
        self._index.add(keys.at(fresh), numbers)
        changed = np.concatenate([asked_newer, fresh])
        return keys.at(changed), np.concatenate([slots, numbers])

    def of(self, keys: Keys) -> tuple[Numbers, Numbers]:
        """Positions in `keys` of those that have a truth, and where it stands."""
        return self._index.find(keys)

    def label(self, numbers: Numbers) -> NDArray[np.float64]:
        """Labels there."""
        found: NDArray[np.float64] = self._columns["label"][numbers]
        return found

    def at(self, numbers: Numbers) -> NDArray[np.int64]:
        """Moments there, microseconds."""
        found: NDArray[np.int64] = self._columns["at"][numbers]
        return found

    def __len__(self) -> int:
        return self._columns.size

    def _labels(self, told: Told) -> NDArray[np.float64]:
        if not told.words:
            return told.number
        labels = told.number.copy()
        for place, word in told.words.items():
            try:
                labels[place] = self._classes[word] if word in self._classes else float(word)
            except ValueError:
                labels[place] = np.nan
        return labels

    def _newest(
        self, keys: Keys, at: NDArray[np.int64], labels: NDArray[np.float64]
    ) -> tuple[Numbers, NDArray[np.bool_]]:
        """Positions of the newest truth of each key, and whether others of that key differ from it."""
        order = np.lexsort((at, keys.second, keys.first))  # stable: of the same moment the later place is last
        sorted_ = keys.at(order)
        starts = np.ones(len(order), bool)
        starts[1:] = (sorted_.first[1:] != sorted_.first[:-1]) | (sorted_.second[1:] != sorted_.second[:-1])
        begins = np.flatnonzero(starts)
        self.repeated += len(order) - len(begins)
        if not len(begins):
            return np.empty(0, np.int64), np.empty(0, bool)
        ends = np.append(begins[1:], len(order)) - 1
        ordered = labels[order]
        contested = np.minimum.reduceat(ordered, begins) != np.maximum.reduceat(ordered, begins)
        return order[ends], contested


def _later(after: NDArray[np.int64], before: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Columns of which the first row that differs is larger in `after`."""
    later = np.zeros(after.shape[1], bool)
    open_ = np.ones(after.shape[1], bool)
    for mine, other in zip(after, before, strict=True):
        later |= open_ & (mine > other)
        open_ &= mine == other
    return later
