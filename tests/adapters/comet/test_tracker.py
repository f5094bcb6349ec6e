"""Trainings written by Comet's own package hold what they must, as the messages in its archives tell."""

from __future__ import annotations

import json
import zipfile
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from trimtab.adapters.comet.experiments import open_tracker
from trimtab.errors import DeclarationError, TemporaryError
from trimtab.experiments.port import Tracker, TrackerError
from trimtab.experiments.spec import TrackerSpec
from trimtab.testing.trackers import SECRET, Shown, TrackerSuite, Written, example

pytestmark = pytest.mark.component


class TestComet(TrackerSuite):
    kills = (0.2, 1.0)

    def open(self, place: Path) -> Tracker:
        return open_tracker(TrackerSpec(tool="comet", place="team/project"), place)

    def shown(self, place: Path, system: str) -> dict[str, Shown]:
        found: dict[str, Shown] = {}
        assert not list((place / "comet").glob("*.tmp"))  # nor what a killed write had begun
        for archive in (place / "comet").glob("*.zip"):
            with zipfile.ZipFile(archive) as held:
                experiment = json.loads(held.read("experiment.json"))
                messages = [json.loads(line) for line in held.read("messages.json").splitlines()]
                assert (experiment["workspace"], experiment["project_name"]) == ("team", "project")
                assert experiment["offline_id"] == archive.stem
                told = {}
                params: dict[str, str] = {}
                curves: dict[str, list[tuple[int, float]]] = {}
                figures: dict[str, float] = {}
                artifacts: dict[str, bytes] = {}
                for message in messages:
                    payload = message["payload"]
                    if message["type"] == "log_other":
                        told[payload["key"]] = payload["value"]
                    elif message["type"] == "parameter_msg" and payload["param"]["source"] == "manual":
                        param = payload["param"]
                        assert param["paramName"] not in params
                        value = param["paramValue"]
                        params[param["paramName"]] = value if isinstance(value, str) else json.dumps(value)
                    elif message["type"] == "metric_msg":
                        metric = payload["metric"]
                        figures[metric["metricName"]] = float(metric["metricValue"])
                        curves.setdefault(metric["metricName"], []).append(
                            (metric["step"], float(metric["metricValue"]))
                        )
                    elif message["type"] == "file_upload":
                        artifacts[payload["additional_params"]["fileName"]] = held.read(Path(payload["file_path"]).name)
            assert told["trimtab.training"] not in found
            found[told["trimtab.training"]] = Shown(
                outcome=told["trimtab.outcome"],
                params=params,
                figures=figures,
                curves=curves,
                artifacts=artifacts,
                started=datetime.fromtimestamp(experiment["start_time"] / 1000, UTC),
            )
        return found


def test_what_stands_is_not_written_again(tmp_path: Path) -> None:
    """And nothing but whole archives lies there."""
    told, contents = example(tmp_path / "contents", points=3)
    tracker = open_tracker(TrackerSpec(tool="comet", place=""), tmp_path)
    archive = Path(tracker.write(told, contents))
    before = archive.stat()
    tracker.write(told, contents)
    assert archive.stat().st_mtime_ns == before.st_mtime_ns  # what stands is not written again
    with zipfile.ZipFile(archive) as held:
        assert json.loads(held.read("experiment.json"))["project_name"] == told.system
    assert sorted(path.name for path in archive.parent.iterdir()) == [f".{archive.stem}.written", archive.name]


def test_the_model_is_in_the_archive(tmp_path: Path) -> None:
    told, contents = example(tmp_path / "contents", points=3)
    contents = Written(tmp_path / "contents", contents.curves(), {}, b"a model")
    training = msgspec.structs.replace(told.training, artifacts=())
    told = msgspec.structs.replace(told, training=training)
    archive = open_tracker(TrackerSpec(tool="comet", place=""), tmp_path).write(told, contents)
    with zipfile.ZipFile(archive) as held:
        messages = [json.loads(line) for line in held.read("messages.json").splitlines()]
        (sent,) = (m["payload"] for m in messages if m["payload"].get("upload_type") == "model-element")
        assert held.read(Path(sent["file_path"]).name) == b"a model"
        assert sent["additional_params"]["fileName"] == "model.onnx"


def test_a_service_that_cannot_be_reached_is_tried_again_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told, contents = example(tmp_path / "contents", points=3)
    monkeypatch.setenv("COMET_API_KEY", SECRET)
    monkeypatch.setenv("COMET_URL_OVERRIDE", "http://127.0.0.1:9/clientlib/")  # where nobody listens
    with pytest.raises(TemporaryError) as refused:
        open_tracker(TrackerSpec(tool="comet", place="project"), tmp_path).write(told, contents)
    assert SECRET not in str(refused.value)
    assert len(list((tmp_path / "comet").glob("*.zip"))) == 1  # nothing is lost


def test_a_package_that_is_not_there_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTHONPATH")
    told, contents = example(tmp_path / "contents", points=3)
    with pytest.raises(TrackerError, match="No module named 'comet_ml'"):
        open_tracker(TrackerSpec(tool="comet", place="project"), tmp_path).write(told, contents)


def test_what_is_no_project_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DeclarationError, match="names no project"):
        open_tracker(TrackerSpec(tool="comet", place="a/b/c"), tmp_path)
