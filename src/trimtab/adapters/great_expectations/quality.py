"""Suites of Great Expectations 1.x, read and written as JSON: the package itself is not needed for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trimtab.adapters.great_expectations.exporting import Exporter
from trimtab.adapters.great_expectations.importing import Importer
from trimtab.data.quality.port import Exported, Imported
from trimtab.data.spec import DatasetSpec
from trimtab.errors import PermanentError
from trimtab.records.requirement import Requirement


class GreatExpectations:
    """The port `Suites` for suites as `ExpectationSuite(**json)` takes and `to_json_dict` gives them."""

    def exported(
        self, spec: DatasetSpec, requirements: tuple[Requirement, ...], types: Mapping[str, str], name: str
    ) -> Exported:
        exporter = Exporter(spec, types)
        exporter.rules(requirements)
        for requirement in requirements:
            exporter.requirement(requirement)
        suite = {"name": name, "expectations": exporter.expectations, "meta": {"made_by": "trimtab"}}
        return Exported(suite=suite, notes=tuple(exporter.notes))

    def imported(self, suite: Mapping[str, Any], key: tuple[str, ...]) -> Imported:
        expectations = suite.get("expectations")
        if not isinstance(expectations, list) or not all(isinstance(one, dict) for one in expectations):
            raise PermanentError(
                "this is no suite of Great Expectations: it has no list of `expectations`",
                hint="write it with `json.dumps(suite.to_json_dict())`",
            )
        importer = Importer(key)
        for one in expectations:
            importer.expectation(one)
        return importer.result()
