"""The shared suite of `Suites`: what everything that reads and writes another tool's suites of checks must hold.

class TestMySuites(SuitesSuite):
    def open(self): return MySuites()
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod

from trimtab.data.quality.port import Suites
from trimtab.data.spec import METRICS, ColumnRule, DatasetSpec, Reference, Trusted
from trimtab.errors import TrimtabError
from trimtab.records.requirement import Comparison, Requirement

SPEC = DatasetSpec(
    name="trips",
    source="trips.parquet",
    key=("id",),
    time="at",
    label="late",
    recorded="seen",
    valid=(
        ColumnRule(column="minutes", low=0, high=90),
        ColumnRule(column="town", allowed=("Ulm", "Bonn")),
        ColumnRule(column="id", pattern="trip-[0-9]+"),
    ),
    consistent=("at <= seen", "minutes > 0", "town != 'Rom'"),
    plausible=("minutes < 80",),
    references=(Reference(column="town", dataset="towns", key="name"),),
    trusted=(Trusted(column="minutes", other="checked"),),
)
TYPES = {
    "id": "text", "at": "time", "seen": "time", "minutes": "number", "checked": "number", "town": "text",
    "late": "boolean", "corrupt": "text",
}  # fmt: skip
_COMPARISONS: tuple[Comparison, ...] = (">=", ">", "<=", "<", "==")


def asked() -> list[Requirement]:
    """A requirement on each metric of data, with each comparison, whole and by slice, each with a text of its own."""
    found = []
    for metric in METRICS:
        columns = ("minutes",) if metric.one_column and metric.name not in ("data.corrupt", "data.balance") else ()
        for comparison in _COMPARISONS:
            for by in (None, "town") if metric.sliceable else (None,):
                text = f"{metric.name} {comparison} by {by}"
                found.append(
                    Requirement(metric=metric.name, comparison=comparison, limit=1.0, columns=columns, by=by, text=text)
                )
    return found


class SuitesSuite(ABC):
    """Tests of one implementation of the port."""

    @abstractmethod
    def open(self) -> Suites:
        """The implementation."""

    def test_nothing_is_dropped_in_silence(self) -> None:
        suites = self.open()
        for requirement in asked():
            alone = suites.exported(SPEC, (requirement,), TYPES, "trips")
            without = suites.exported(SPEC, (), TYPES, "trips")
            noted = any(requirement.text in note.what for note in alone.notes)
            assert noted or alone.suite != without.suite, requirement.text

    def test_rules_are_said_though_nothing_is_required(self) -> None:
        bare = DatasetSpec(name="trips", source="x.csv", key=("id",), time="at")
        suites = self.open()
        ruled = suites.exported(SPEC, (), TYPES, "trips")
        assert ruled.suite != suites.exported(bare, (), TYPES, "trips").suite

    def test_what_is_written_is_json_and_is_read_back(self) -> None:
        suites = self.open()
        exported = suites.exported(SPEC, tuple(r for r in asked() if r.comparison == ">="), TYPES, "trips")
        imported = suites.imported(json.loads(json.dumps(exported.suite)), SPEC.key)
        assert {rule.column for rule in imported.valid} == {rule.column for rule in SPEC.valid}
        known = {metric.name for metric in METRICS}
        assert {requirement.metric for requirement in imported.requirements} <= known
        assert imported.requirements

    def test_what_is_no_suite_is_refused_in_words(self) -> None:
        try:
            self.open().imported({}, ("id",))
        except TrimtabError as error:
            assert error.message
        else:
            raise AssertionError("an empty document was taken for a suite")
