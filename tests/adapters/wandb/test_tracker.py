"""Trainings written by the package of W&B hold what they must, as its own protocol buffers tell from its run files."""

from __future__ import annotations

import json
import os
import subprocess
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.adapters.wandb.conftest import HOME

from trimtab.adapters.wandb.experiments import open_tracker
from trimtab.errors import DeclarationError, TemporaryError
from trimtab.experiments.port import Tracker, TrackerError
from trimtab.experiments.spec import TrackerSpec
from trimtab.testing.trackers import SECRET, Shown, TrackerSuite, Written, example

pytestmark = pytest.mark.component

_READ = """
import json, sys, zlib
from google.protobuf.json_format import MessageToDict
from wandb.proto import wandb_internal_pb2 as pb

def parts(content):
    # The form of LevelDB's log: blocks of 32 KiB, in them checksum, length, kind (1 whole, 2-4 a part) and bytes.
    assert content[:4] == b":W&B"
    place, held = 7, b""
    while place + 7 <= len(content):
        left = 32768 - place % 32768
        if left < 7:
            place += left
            continue
        size, kind = int.from_bytes(content[place + 4 : place + 6], "little"), content[place + 6]
        body = content[place + 7 : place + 7 + size]
        checked = zlib.crc32(body, zlib.crc32(bytes([kind])))
        assert checked == int.from_bytes(content[place : place + 4], "little")
        place += 7 + size
        held = body if kind in (1, 2) else held + body
        if kind in (1, 4):
            yield held

told = {}
for path in sys.argv[1:]:
    records = []
    for data in parts(open(path, "rb").read()):
        record = pb.Record()
        record.ParseFromString(data)
        records.append(MessageToDict(record, preserving_proto_field_name=True))
    told[path] = records
print(json.dumps(told))
"""


def records_in(place: Path) -> dict[str, list[dict[str, Any]]]:
    """The records of every run file below a folder, read by the package's own protocol buffers."""
    files = [str(path) for path in sorted(place.rglob("*.wandb"))]
    ran = subprocess.run(
        [str(HOME / "bin" / "python"), "-c", _READ, *files],
        env=os.environ | {"PYTHONPATH": ""},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr[-3000:]
    found: dict[str, list[dict[str, Any]]] = json.loads(ran.stdout)
    return found


class TestWandb(TrackerSuite):
    kills = (0.3, 1.0)

    def open(self, place: Path) -> Tracker:
        return open_tracker(TrackerSpec(tool="wandb", place="team/project"), place)

    def shown(self, place: Path, system: str) -> dict[str, Shown]:
        found: dict[str, Shown] = {}
        for path, records in records_in(place).items():
            whole: dict[str, Any] = {}
            summary: dict[str, float] = {}
            curves: dict[str, list[tuple[int, float]]] = {}
            names: list[str] = []
            for record in records:
                if "run" in record:
                    whole = record["run"]
                for item in record.get("summary", {}).get("update", ()):
                    summary[".".join(item.get("nested_key", ())) or item["key"]] = json.loads(item["value_json"])
                if "history" in record:
                    told = {
                        "/".join(i.get("nested_key", ())) or i["key"]: json.loads(i["value_json"])
                        for i in record["history"]["item"]
                    }
                    for name, value in told.items():
                        if not name.startswith("_"):
                            curves.setdefault(name, []).append((told["_step"], float(value)))
                names += [file["path"] for file in record.get("files", {}).get("files", ())]
            config = {item["key"]: json.loads(item["value_json"]) for item in whole["config"]["update"]}
            own = config.pop("trimtab")
            (ended,) = (record["exit"] for record in records if "exit" in record)
            assert (whole["entity"], whole["project"]) == ("team", "project")
            assert own["training"] not in found
            files = Path(path).parent / "files"
            found[own["training"]] = Shown(
                outcome="failed" if ended.get("exit_code") else "trained",
                params={
                    k: v if isinstance(v, str) else json.dumps(v, separators=(",", ":")) for k, v in config.items()
                },
                figures=summary,
                curves=curves,
                artifacts={name: (files / name).read_bytes() for name in names},
                started=datetime.fromisoformat(own["started"]),  # its own start is when it was written
            )
        return found


def test_the_model_is_an_artifact(tmp_path: Path) -> None:
    told, contents = example(tmp_path / "contents", points=3)
    contents = Written(tmp_path / "contents", contents.curves(), {}, b"a model")
    told = msgspec.structs.replace(told, training=msgspec.structs.replace(told.training, artifacts=()))
    open_tracker(TrackerSpec(tool="wandb", place=""), tmp_path).write(told, contents)
    ((_, records),) = records_in(tmp_path).items()
    (sent,) = (record["artifact"] for record in records if "artifact" in record)
    assert (sent["name"], sent["type"]) == (told.system, "model")
    assert told.training.id[:12] in sent["aliases"]
    (entry,) = sent["manifest"]["contents"]
    assert Path(entry["local_path"]).is_relative_to(tmp_path / "wandb")
    assert entry["path"] == "model.onnx"
    assert Path(entry["local_path"]).read_bytes() == b"a model"


def test_a_service_that_cannot_be_reached_is_tried_again_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told, contents = example(tmp_path / "contents", points=3)
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")  # where nobody listens
    monkeypatch.setenv("WANDB_INIT_TIMEOUT", "3")
    with pytest.raises(TemporaryError) as refused:
        open_tracker(TrackerSpec(tool="wandb", place="project"), tmp_path).write(told, contents)
    assert "0" * 40 not in str(refused.value)


def test_a_key_that_is_none_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told, contents = example(tmp_path / "contents", points=3)
    monkeypatch.setenv("WANDB_API_KEY", SECRET)
    with pytest.raises(TrackerError) as refused:
        open_tracker(TrackerSpec(tool="wandb", place="project"), tmp_path).write(told, contents)
    assert SECRET not in str(refused.value)


def test_a_mode_that_writes_nothing_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "disabled")
    with pytest.raises(TrackerError, match="writes nothing"):
        open_tracker(TrackerSpec(tool="wandb", place="project"), tmp_path)


def test_what_is_no_project_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DeclarationError, match="names no project"):
        open_tracker(TrackerSpec(tool="wandb", place="a/b/c"), tmp_path)
