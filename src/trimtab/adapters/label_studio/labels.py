"""Label Studio as a tool for labels: a project of the declared title, a task for each item, answers by e-mail address.

Each task carries its item's name in `data.trimtab_item`; that is what makes pushing idempotent. Annotators overlap as
the project is set up to: it is made with the declared number of annotations an item.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from trimtab.adapters.label_studio.calls import Calls, moment
from trimtab.adapters.label_studio.form import given_in, page_of, result_of, shown_of
from trimtab.labels.port import Annotation, Item, LabelsError, NotALabel, Pull, Push
from trimtab.labels.spec import LabelsSpec
from trimtab.labels.values import read_value

ITEM = "trimtab_item"
_BATCH = 250
_SLACK = timedelta(minutes=2)
"""Tasks are asked for again that changed shortly before the newest one seen: what was committed late is not missed."""


def open_tool(spec: LabelsSpec, folder: Path) -> LabelStudio:  # noqa: ARG001 - the port's
    """Label Studio as `[labels]` names it. Raises LabelsError where the token is not set."""
    return LabelStudio(spec, Calls.by_environment(spec.url, spec.token_env))


class LabelStudio:
    """One project."""

    def __init__(self, spec: LabelsSpec, calls: Calls) -> None:
        self._spec = spec
        self._calls = calls
        self._id: int | None = None

    def push(self, items: Sequence[Item]) -> Push:
        """Make the project if it is not there, and a task of every item that has none; a guess becomes a prediction."""
        project = self._project(make=True)
        there = {str(task["data"].get(ITEM)) for task in self._calls.tasks(project, fields="task_only")}
        new = [item for item in {item.item: item for item in items}.values() if item.item not in there]
        for start in range(0, len(new), _BATCH):
            tasks = [self._task(item) for item in new[start : start + _BATCH]]
            self._calls.ask("POST", f"/api/projects/{project}/import", tasks)
        where = f"{self._calls.url}/projects/{project}"
        return Push(added=len(new), there=len(items) - len(new), where=where)

    def pull(self, cursor: str = "") -> Pull:
        """Every annotation of the tasks that changed since the newest one seen before, less a little."""
        project = self._project(make=False)
        since = datetime.fromisoformat(cursor) - _SLACK if cursor else None
        users = self._calls.users()
        items: list[str] = []
        found: list[Annotation] = []
        newest = cursor
        for task in self._calls.tasks(project, since=since):
            name = task["data"].get(ITEM)
            changed = moment(task["updated_at"]).isoformat()
            newest = max(newest, changed) if newest else changed
            if isinstance(name, str):  # others were not pushed from here: nobody here knows what they are of
                items.append(name)
                found += self._annotations(name, task, users)
        return Pull(items=tuple(items), annotations=tuple(found), cursor=newest)

    def _project(self, *, make: bool) -> int:
        if self._id is None:
            found = self._calls.project(self._spec.project)
            if found is None and not make:
                raise LabelsError(
                    f"there is no project {self._spec.project!r} in {self._calls.url}",
                    hint="`trimtab labels push` makes it",
                )
            if found is None:
                found = self._calls.ask(
                    "POST",
                    "/api/projects",
                    {
                        "title": self._spec.project,
                        "label_config": page_of(self._spec),
                        "maximum_annotations": self._spec.annotators,
                        "show_collab_predictions": True,
                    },
                )
            self._id = int(found["id"])
        return self._id

    def _task(self, item: Item) -> dict[str, Any]:
        task: dict[str, Any] = {"data": {ITEM: item.item, "shown": shown_of(item.shown, self._spec)}}
        if item.guess is not None:
            guess: dict[str, Any] = {"model_version": item.model, "result": result_of(item.guess, self._spec)}
            if item.score is not None:
                guess["score"] = item.score
            task["predictions"] = [guess]
        return task

    def _annotations(self, item: str, task: Mapping[str, Any], users: Mapping[int, str]) -> Iterator[Annotation]:
        for one in task.get("annotations") or ():
            said = one.get("completed_by")
            person = said.get("id") if isinstance(said, Mapping) else said
            told: dict[str, Any] = {
                "id": f"label-studio:{one['id']}",
                "item": item,
                "annotator": users.get(person, f"user {person}") if isinstance(person, int) else "somebody",
                "at": moment(one["updated_at"]),
                "seconds": one.get("lead_time"),
            }
            if one.get("was_cancelled"):
                yield Annotation(**told, state="skipped")
                continue
            try:
                value = read_value(given_in(one.get("result"), self._spec), self._spec)
            except NotALabel as error:
                yield Annotation(**told, state="refused", reason=str(error), given=json.dumps(one.get("result")))
                continue
            yield Annotation(**told, value=value)
