"""The port's promises, kept by a real Label Studio, for every kind of label."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from tests.adapters.label_studio.conftest import ANN, BOB
from tests.adapters.label_studio.studio import LEAD, TOKEN, Studio, choice

from trimtab.adapters.label_studio.calls import Calls
from trimtab.adapters.label_studio.labels import LabelStudio
from trimtab.data.spec import DatasetSpec
from trimtab.errors import TemporaryError
from trimtab.labels.port import Item, LabelsError, LabelTool
from trimtab.labels.spec import LabelsSpec
from trimtab.testing.labels import LabelToolSuite
from trimtab.wiring.sources import open_any

pytestmark = [pytest.mark.component, pytest.mark.timeout(400)]
KINDS: dict[str, tuple[dict[str, Any], Any]] = {
    "class": ({"classes": ("yes", "no")}, "no"),
    "multi_label": ({"classes": ("red", "green", "blue")}, ["red", "blue"]),
    "box": (
        {"classes": ("scratch", "crack"), "media": "image", "show": ("picture",)},
        [{"label": "crack", "box": [0.125, 0.25, 0.5, 0.75]}, {"label": "scratch", "box": [0.0, 0.0, 1.0, 1.0]}],
    ),
    "transcript": ({"media": "audio", "show": ("clip",)}, "press one, please"),
    "regression": ({"low": 0.0, "high": 10.0}, 3.5),
}


def spec_of(kind: str, project: str, **more: Any) -> LabelsSpec:
    return LabelsSpec(kind=kind, data="d", column="c", tool="label-studio", project=project, **more)  # type: ignore[arg-type]


def tool_of(studio: Studio, spec: LabelsSpec) -> LabelStudio:
    return LabelStudio(spec, Calls(studio.url, TOKEN))


class TestLabelStudio(LabelToolSuite):
    tool = "label-studio"

    @pytest.fixture(autouse=True)
    def _studio(self, studio: Studio) -> None:
        self.studio = studio

    def open(self, spec: LabelsSpec, folder: Path) -> LabelTool:
        return tool_of(self.studio, spec)

    def say(self, spec: LabelsSpec, folder: Path, person: str, item: str, value: Any) -> None:
        project = self.studio.project(spec.project)
        task = self.studio.tasks(project)[item]
        mine = [a for a in task["annotations"] if a["created_username"].split(",")[0].strip() == person]
        if mine:
            self.studio.ask("PATCH", f"/api/annotations/{mine[0]['id']}", {"result": choice(value)}, person)
        else:
            self.studio.annotate(task["id"], choice(value), person)


@pytest.mark.parametrize("kind", KINDS)
def test_a_guess_that_an_annotator_accepts_comes_back_as_that_label(studio: Studio, kind: str) -> None:
    more, value = KINDS[kind]
    spec = spec_of(kind, f"kind {kind}", **more)
    tool = tool_of(studio, spec)
    shown = dict.fromkeys(spec.show, "https://example.com/file") or {
        "size": 3,
        "at": datetime(2026, 1, 1, tzinfo=UTC),
    }
    items = [Item(item=f"i{n}", shown=shown, guess=value, score=0.75, model="m1") for n in range(3)]
    assert (tool.push(items).added, tool.push(items).there) == (3, 3)
    tasks = studio.tasks(studio.project(spec.project))
    assert set(tasks) == {"i0", "i1", "i2"}
    (guess,) = tasks["i1"]["predictions"]
    assert (guess["model_version"], guess["score"]) == ("m1", 0.75)
    studio.annotate(tasks["i1"]["id"], guess["result"], ANN, 7.5)
    pulled = tool_of(studio, spec).pull()
    (said,) = pulled.annotations
    assert (said.item, said.annotator, said.state, said.seconds) == ("i1", ANN, "said", 7.5)
    if kind == "box":
        assert [box["label"] for box in said.value] == [box["label"] for box in value]
        assert [box["box"] for box in said.value] == [pytest.approx(box["box"]) for box in value]
    else:
        assert said.value == value
    assert abs(said.at - datetime.now(UTC)) < timedelta(minutes=2)


def test_only_what_changed_is_pulled_and_everything_said_of_it(studio: Studio) -> None:
    spec = spec_of("class", "pulling", classes=("yes", "no"))
    tool = tool_of(studio, spec)
    tool.push([Item(item=f"{n}", shown={"n": n}) for n in range(4)])
    tasks = studio.tasks(studio.project("pulling"))
    first = studio.annotate(tasks["0"]["id"], choice("yes"), ANN)
    pulled = tool.pull()
    later = (datetime.fromisoformat(pulled.cursor) + timedelta(minutes=2)).isoformat()  # past what is asked for again
    assert tool.pull(later).annotations == ()
    studio.annotate(tasks["0"]["id"], choice("no"), BOB)
    news = tool.pull(later)
    assert news.items == ("0",)
    assert {(a.annotator, a.value) for a in news.annotations} == {(ANN, "yes"), (BOB, "no")}
    studio.ask("PATCH", f"/api/annotations/{first}", {"result": choice("no")}, ANN)
    revised = [a for a in tool.pull(later).annotations if a.annotator == ANN]
    assert [a.value for a in revised] == ["no"]
    assert revised[0].at > pulled.annotations[0].at
    assert revised[0].id == pulled.annotations[0].id
    studio.ask("DELETE", f"/api/annotations/{first}", None, LEAD)
    assert [a.annotator for a in tool.pull().annotations] == [BOB]


def test_results_that_are_no_labels_are_refused_with_their_reason(studio: Studio) -> None:
    spec = spec_of("class", "refusing", classes=("yes", "no"))
    tool = tool_of(studio, spec)
    tool.push([Item(item=f"{n}", shown={"n": n}) for n in range(4)])
    tasks = studio.tasks(studio.project("refusing"))
    studio.annotate(tasks["0"]["id"], choice("maybe"), ANN)
    studio.annotate(tasks["1"]["id"], [], ANN)
    studio.annotate(
        tasks["2"]["id"], [{"from_name": "x", "to_name": "y", "type": "number", "value": {"number": 1}}], ANN
    )
    studio.ask("POST", f"/api/tasks/{tasks['3']['id']}/annotations", {"result": [], "was_cancelled": True}, ANN)
    found = {a.item: a for a in tool.pull().annotations}
    assert [found[str(n)].state for n in range(4)] == ["refused", "refused", "refused", "skipped"]
    assert found["0"].reason == "there is no class 'maybe'; the classes are yes, no"
    assert "maybe" in found["0"].given
    assert found["1"].reason == "the result holds 0 answers, where one is expected"
    assert found["2"].reason == "the result holds number of 'x', where choices of 'label' is expected"


def test_more_tasks_than_a_page_holds(studio: Studio) -> None:
    spec = spec_of("class", "many", classes=("yes", "no"))
    tool = tool_of(studio, spec)
    assert tool.push([Item(item=f"{n}", shown={"n": n}) for n in range(530)]).added == 530
    assert tool.push([Item(item=f"{n}", shown={"n": n}) for n in range(535)]).added == 5
    assert len(tool.pull().items) == 535


def test_what_is_wrong_is_said(studio: Studio) -> None:
    spec = spec_of("class", "never made", classes=("yes", "no"))
    with pytest.raises(LabelsError, match="there is no project 'never made'") as raised:
        tool_of(studio, spec).pull()
    assert raised.value.hint == "`trimtab labels push` makes it"
    with pytest.raises(LabelsError, match="refuses the token"):
        LabelStudio(spec, Calls(studio.url, "wrong")).pull()
    with pytest.raises(TemporaryError, match="cannot be reached"):
        LabelStudio(spec, Calls("http://127.0.0.1:9", TOKEN)).pull()
    short = spec_of("class", "no", classes=("yes", "no"))
    with pytest.raises(LabelsError, match=r"refuses POST /api/projects: 400 .*at least 3 characters"):
        tool_of(studio, short).push([Item(item="1", shown={"n": 1})])


def test_a_project_is_a_source_of_rows(studio: Studio, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    spec = spec_of("class", "a source", classes=("yes", "no"))
    tool_of(studio, spec).push([Item(item=f"{n}", shown={"n": n}) for n in range(3)])
    project = studio.project("a source")
    tasks = studio.tasks(project)
    studio.annotate(tasks["0"]["id"], choice("yes"), ANN)
    middle = datetime.now(UTC)
    studio.annotate(tasks["1"]["id"], choice("no"), BOB)
    monkeypatch.setenv("LABEL_STUDIO_TOKEN", TOKEN)
    source = open_any(
        DatasetSpec(
            name="said", source=f"label-studio:{studio.url}/projects/{project}", key=("annotation",), time="at"
        ),
        tmp_path,
    )
    rows = source.fetch(None, datetime.now(UTC))
    assert rows.sort("at")["annotator"].to_list() == [ANN, BOB]
    assert rows.schema["at"] == pl.Datetime("us", "UTC")
    assert rows.sort("at")["trimtab_item"].to_list() == ["0", "1"]
    assert source.fetch(middle, datetime.now(UTC))["annotator"].to_list() == [BOB]
    assert source.fetch(datetime.now(UTC), datetime.now(UTC)).is_empty()
