"""The shared suite of `LabelTool`: what every tool in which people label must hold.

A test module derives from it and says how a tool is opened, and how a person labels in it:

    class TestMyTool(LabelToolSuite):
        def open(self, spec, folder): return MyTool(spec, folder)
        def say(self, spec, folder, person, item, value): ...
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from trimtab.labels.port import Annotation, Item, LabelTool, Pull
from trimtab.labels.spec import LabelsSpec

PEOPLE = ("ann@example.com", "bob@example.com")
_SOON = timedelta(minutes=5)


class LabelToolSuite(ABC):
    """Run by pytest; each test gets a folder of its own, and a project of its own title."""

    tool = "files"

    @abstractmethod
    def open(self, spec: LabelsSpec, folder: Path) -> LabelTool:
        """The tool, with whatever was pushed and said before."""

    @abstractmethod
    def say(self, spec: LabelsSpec, folder: Path, person: str, item: str, value: Any) -> None:
        """One of PEOPLE gives, or revises, their label of an item; `value` may be no label at all."""

    def spec(self, folder: Path) -> LabelsSpec:
        """Labels of two classes, in a project named after the test's folder."""
        return LabelsSpec(
            kind="class", data="d", column="c", classes=("yes", "no"), tool=self.tool, project=folder.name
        )

    def test_pushing_again_leaves_one_task_an_item(self, tmp_path: Path) -> None:
        """Also from another process, and with new items among the old."""
        spec = self.spec(tmp_path)
        items = [Item(item=f"i{n}", shown={"n": n}, guess="yes", score=0.9, model="m") for n in range(5)]
        first = self.open(spec, tmp_path).push(items[:3])
        again = self.open(spec, tmp_path).push(items)
        assert (first.added, first.there) == (3, 0)
        assert (again.added, again.there) == (2, 3)
        assert self.open(spec, tmp_path).push(items).added == 0

    def test_what_two_people_say_is_told_with_who_and_when(self, tmp_path: Path) -> None:
        """And pulling has no effect: the same is told again."""
        spec = self.spec(tmp_path)
        self._pushed(spec, tmp_path)
        self.say(spec, tmp_path, PEOPLE[0], "i0", "yes")
        self.say(spec, tmp_path, PEOPLE[1], "i0", "no")
        pulled = self.open(spec, tmp_path).pull()
        assert {(a.item, a.annotator, a.value) for a in _said(pulled)} == {
            ("i0", PEOPLE[0], "yes"),
            ("i0", PEOPLE[1], "no"),
        }
        assert "i0" in pulled.items
        assert all(abs(a.at - datetime.now(UTC)) < _SOON for a in pulled.annotations)
        assert len({a.id for a in pulled.annotations}) == 2
        assert self.open(spec, tmp_path).pull().annotations == pulled.annotations

    def test_a_revision_is_told_after_the_cursor(self, tmp_path: Path) -> None:
        """The newest word of a person and item is the later one."""
        spec = self.spec(tmp_path)
        self._pushed(spec, tmp_path)
        self.say(spec, tmp_path, PEOPLE[0], "i0", "yes")
        before = self.open(spec, tmp_path).pull()
        self.say(spec, tmp_path, PEOPLE[0], "i0", "no")
        after = self.open(spec, tmp_path).pull(before.cursor)
        newest = max(_said(after), key=lambda a: a.at)
        assert newest.value == "no"
        assert newest.at > _said(before)[0].at

    def test_what_is_no_label_is_told_as_refused_with_its_reason(self, tmp_path: Path) -> None:
        """Nothing that was said is lost."""
        spec = self.spec(tmp_path)
        self._pushed(spec, tmp_path)
        self.say(spec, tmp_path, PEOPLE[0], "i1", "maybe")
        (found,) = self.open(spec, tmp_path).pull().annotations
        assert (found.state, found.value) == ("refused", None)
        assert found.reason == "there is no class 'maybe'; the classes are yes, no"
        assert "maybe" in found.given

    def test_nothing_said_is_nothing_told(self, tmp_path: Path) -> None:
        """Tasks alone are no annotations."""
        spec = self.spec(tmp_path)
        self._pushed(spec, tmp_path)
        assert self.open(spec, tmp_path).pull().annotations == ()

    def _pushed(self, spec: LabelsSpec, folder: Path) -> None:
        self.open(spec, folder).push([Item(item=f"i{n}", shown={"n": n}) for n in range(3)])


def _said(pulled: Pull) -> list[Annotation]:
    return [a for a in pulled.annotations if a.state == "said"]
