"""Event files as the real TensorBoard reads them."""

from __future__ import annotations

import struct
import urllib.request
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from blake3 import blake3
from tests.adapters.conftest import absent
from tests.adapters.tensorboard.board import PYTHON, Board
from tests.cli.conftest import Cli, Place

from trimtab.errors import DeclarationError
from trimtab.experiments.spec import TrackerSpec
from trimtab.records.tracking import Artifact
from trimtab.testing.trackers import Shown, TrackerSuite, example

pytestmark = pytest.mark.component


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Board]:
    """One TensorBoard for all tests."""
    if not PYTHON.exists():
        absent("TensorBoard", "tools/component tensorboard")
    with Board(tmp_path_factory.mktemp("tensorboard") / "runs") as found:
        yield found


def text(value: object) -> str:
    """A hyper-parameter as TensorBoard tells it."""
    if isinstance(value, str):
        return value
    whole = isinstance(value, float) and value.is_integer()
    return msgspec.json.encode(int(value) if whole else value).decode()  # type: ignore[call-overload]


class TestTensorBoard(TrackerSuite):
    has_artifacts = False
    single_precision = True

    def open(self, place):
        from trimtab.adapters.tensorboard.experiments import open_tracker

        return open_tracker(TrackerSpec(tool="tensorboard", place=str(place)), place)

    @pytest.fixture(autouse=True)
    def _board(self, board):
        self.board = board

    def shown(self, place, system):
        runs = self.board.show(place)
        assert all(run.split("/")[0] == system for run in runs)
        return {run.split("/")[1]: self._run(run, tags, session) for run, (session, tags) in runs.items()}

    def _run(self, run, names, session):
        curves, figures = {}, {}
        for tag in names:
            points = self.board.ask("/data/plugin/scalars/scalars", run=self.board.newest + run, tag=tag)
            found = [(step, float(value)) for _, step, value in points]
            if found[0][0] == 0 and len(found) == 1:
                figures[tag] = found[0][1]
            else:
                curves[tag] = found
        return Shown(
            outcome={"STATUS_SUCCESS": "trained", "STATUS_FAILURE": "failed"}[session["status"]],
            params={name: text(value) for name, value in session["hparams"].items()},
            figures=figures,
            curves=curves,
            started=datetime.fromtimestamp(session["startTimeSecs"], UTC),
        )

    def test_environment_code_and_pictures_are_shown(self, tmp_path: Path) -> None:
        told, contents = example(tmp_path / "contents")
        picture = png(3, 2)
        artifact = Artifact(name="plots/roc.png", digest=blake3(picture).hexdigest(), size=len(picture))
        told = msgspec.structs.replace(
            told, training=msgspec.structs.replace(told.training, artifacts=(*told.training.artifacts, artifact))
        )
        (tmp_path / "contents" / artifact.digest).write_bytes(picture)
        where = self.write(tmp_path / "place", told, contents)
        assert Path(where).is_dir()
        board = self.board
        (run,) = board.show(tmp_path / "place")
        run = board.newest + run
        assert sorted(board.ask("/data/plugin/text/tags")[run]) == ["environment", "training", "uncommitted code"]
        (shown,) = board.ask("/data/plugin/text/text", run=run, tag="environment")
        assert "<td>numpy</td>" in shown["text"]
        (shown,) = board.ask("/data/plugin/text/text", run=run, tag="training")
        assert told.training.source.commit in shown["text"]
        (shown,) = board.ask("/data/plugin/images/images", run=run, tag="plots/roc.png", sample="0")
        with urllib.request.urlopen(f"{board.url}/data/plugin/images/individualImage?{shown['query']}") as reply:
            assert reply.read() == picture


def png(width: int, height: int) -> bytes:
    """A black picture."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    rows = zlib.compress((b"\0" + b"\0" * width) * height)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def test_a_folder_without_a_name_is_refused(tmp_path: Path) -> None:
    from trimtab.adapters.tensorboard.experiments import open_tracker

    with pytest.raises(DeclarationError, match="names no folder"):
        open_tracker(TrackerSpec(tool="tensorboard", place=""), tmp_path)


def test_a_run_of_the_loop_is_shown(board: Board, cli: Cli, fresh: Place) -> None:
    """Declared, trained, written, and found in TensorBoard with what the code logged."""
    logging = "import trimtab\n" + (fresh.folder / "model.py").read_text("utf-8").replace(
        "    return model.fit",
        '    for step in range(5):\n        trimtab.log_metric("steep", step, step)\n    return model.fit',
    )
    fresh.write("model.py", logging)
    declared = (fresh.folder / "trimtab.toml").read_text("utf-8")
    fresh.write("trimtab.toml", declared + '\n[tracking]\nto = "tensorboard:runs"\n')
    ran = cli("run", fresh)
    assert "1 trainings written to tensorboard:runs" in ran.out, ran.said
    ((run, (session, tags)),) = board.show(fresh.folder / "runs").items()
    assert run.startswith("pump-alarm/")
    assert session["status"] == "STATUS_SUCCESS"
    assert {"steep", "shipped/steep", "system/memory", "quality.roc_auc"} <= set(tags)
    points = board.ask("/data/plugin/scalars/scalars", run=board.newest + run, tag="steep")
    assert [(step, value) for _, step, value in points] == [(step, float(step)) for step in range(5)]
