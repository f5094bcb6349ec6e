"""A Label Studio project as a source of rows: one an annotation, `source = "label-studio:http://host:port/projects/7"`.

The columns are `task`, `annotation`, `annotator`, `at` (when it was last revised), `seconds`, `result` (JSON, as it was
given), `skipped`, and the task's data under their own names; those that are no plain values are JSON.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from trimtab.adapters.label_studio.calls import Calls, moment
from trimtab.adapters.label_studio.kind import ProjectOptions, project_of

if TYPE_CHECKING:
    import polars as pl

    from trimtab.data.spec import DatasetSpec

_OWN = ("task", "annotation", "annotator", "at", "seconds", "result", "skipped")


def open_source(spec: DatasetSpec, folder: Path) -> ProjectSource:  # noqa: ARG001 - the port's
    """The source that a dataset names. Raises DeclarationError for an address that is not a project's."""
    options = msgspec.convert(dict(spec.options), ProjectOptions)
    url, project = project_of(spec.source)
    return ProjectSource(Calls.by_environment(url, options.token_env), project)


class ProjectSource:
    """The annotations of one project, by the moment of their last revision."""

    def __init__(self, calls: Calls, project: int) -> None:
        self._calls = calls
        self._project = project

    def expect(self, schema: Mapping[str, pl.DataType]) -> None:
        """Every cell has its type already."""

    def fetch(self, since: datetime | None, until: datetime) -> pl.DataFrame:
        """Annotations revised with since < at <= until."""
        import polars as pl  # not before rows are asked for

        users = self._calls.users()
        rows: list[dict[str, Any]] = []
        for task in self._calls.tasks(self._project, since=since):
            for one in task.get("annotations") or ():
                at = moment(one["updated_at"])
                if at > until or (since is not None and at <= since):
                    continue
                person = one.get("completed_by")
                person = person.get("id") if isinstance(person, Mapping) else person
                rows.append(
                    {
                        "task": int(task["id"]),
                        "annotation": int(one["id"]),
                        "annotator": users.get(person, f"user {person}") if isinstance(person, int) else None,
                        "at": at,
                        "seconds": one.get("lead_time"),
                        "result": json.dumps(one.get("result"), sort_keys=True),
                        "skipped": bool(one.get("was_cancelled")),
                        **{name: _cell(cell) for name, cell in task["data"].items() if name not in _OWN},
                    }
                )
        own: dict[str, pl.DataType] = {
            "task": pl.Int64(),
            "annotation": pl.Int64(),
            "annotator": pl.String(),
            "at": pl.Datetime("us", "UTC"),
            "seconds": pl.Float64(),
            "result": pl.String(),
            "skipped": pl.Boolean(),
        }
        return pl.DataFrame(rows, schema_overrides=own, infer_schema_length=None) if rows else pl.DataFrame(schema=own)


def _cell(cell: Any) -> Any:
    return cell if cell is None or isinstance(cell, str | int | float | bool) else json.dumps(cell, sort_keys=True)
