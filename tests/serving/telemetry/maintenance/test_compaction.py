"""Frames become Arrow files: the same rows, once, whenever it is killed, and readable by other tools."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.dataset
import pyarrow.ipc
import pytest
from tests.serving.telemetry.written import CARRIERS, T0, Written

from trimtab.errors import PermanentError
from trimtab.records.telemetry import TelemetryPolicy
from trimtab.serving.telemetry.archives.archive import MANIFEST, read_manifest
from trimtab.serving.telemetry.inputs import digest
from trimtab.serving.telemetry.maintenance.compaction import compact
from trimtab.serving.telemetry.reading.export import joined
from trimtab.serving.telemetry.reading.reader import TelemetryReader
from trimtab.serving.telemetry.segments import Gap

HOUR = timedelta(hours=1)


def fill(folder: Path, policy: TelemetryPolicy = TelemetryPolicy(), **settings: object) -> Written:  # noqa: B008
    """A bit of everything: retried ids, shadows, canaries, several outputs, truths before and after, twice, words."""
    written = Written(folder, policy, **settings)
    for number in range(12):
        at = T0 + number * HOUR
        ids = [f"{number}-{row}" for row in range(5)]
        written.answer(ids, at, owed=number % 2 == 0)
        written.answer(ids[:3], at, "r2", stage="shadow")
        written.answer([f"{number}-c"], at, "r2", stage="canary")
        written.answer([f"{number}-m0", f"{number}-m1"], at, "r3", outputs=3)
        written.look([f"{number}-p{row}" for row in range(3)], at, [bytes([row]) * (40 * row) for row in range(3)])
        if number:
            written.answer([f"{number - 1}-0"], at)  # asked again
            written.tell({f"{number - 1}-{row}": float(row % 2) for row in range(5)}, at)
            written.tell({f"{number - 1}-0": 1.0, f"{number + 1}-1": 1.0}, at, orphans=[f"{number + 1}-1"])
        written.tell({f"{number}-c": "late", f"{number}-m0": "never heard of"}, at)
    written.fail(T0 + HOUR)
    written.writer.drop(5, 9, 2, "the disk was full")
    written.fail(T0 + 2 * HOUR)
    return written


def told(folder: Path) -> dict[str, object]:
    """All that a reader can tell of a folder."""
    reader = TelemetryReader(folder, classes=("on time", "late"))
    reader.refresh()
    found: dict[str, object] = {
        "predictions": reader.predictions().to_dicts(),
        "failures": reader.failures().to_dicts(),
    }
    for release in ("r1", "r2", "r3", "seer"):
        inputs = reader.features(None, None, release)
        found[f"inputs of {release}"] = (inputs.matrix.tobytes(), inputs.ids, inputs.at.tolist(), inputs.share)
        scores, ids = reader.scores(None, None, release)
        found[f"scores of {release}"] = (scores.tobytes(), ids)
    counts = ("orphans", "repeated_truths", "contested_truths", "unreadable_truths", "duplicates", "damaged")
    return found | {name: getattr(reader, name) for name in counts} | {"gaps": reader.gaps()}


@pytest.mark.parametrize("policy", [TelemetryPolicy(), TelemetryPolicy(inputs=0.5, large=30, sample=0.4)])
@pytest.mark.parametrize("limit", [2_000, 2**20])
def test_nothing_changes_for_those_who_read(tmp_path: Path, policy: TelemetryPolicy, limit: int) -> None:
    fill(tmp_path, policy, limit=limit).close()
    before = told(tmp_path)
    assert before["gaps"] == [Gap(5, 9, 2, "the disk was full")]
    assert len(before["predictions"]) == 12 * (5 + 3 + 1 + 2 + 3)  # type: ignore[arg-type]
    done = compact(tmp_path)
    folders = [path for path in tmp_path.iterdir() if path.is_dir()]
    assert len(done) == len(folders) >= 1
    assert {path.stat().st_mode & 0o777 for path in folders} == {0o700}
    assert list(tmp_path.glob("*.seg")) == []
    assert told(tmp_path) == before
    assert compact(tmp_path) == []


def test_a_reader_does_not_notice_that_segments_are_compacted_under_it(tmp_path: Path) -> None:
    written = fill(tmp_path, limit=2_000)
    reader = TelemetryReader(tmp_path, classes=("on time", "late"))
    reader.refresh()
    before = reader.predictions()
    matrix = reader.features(None, None, "r1").matrix
    compact(tmp_path)
    assert reader.features(None, None, "r1").matrix.tobytes() == matrix.tobytes()
    assert reader.scores(None, None, "r3")[0].shape == (24, 3)
    assert reader.refresh() == 0
    assert reader.predictions().equals(before)
    written.answer(["later"], T0 + 20 * HOUR)
    written.close()
    compact(tmp_path)  # the rest of the open segment was never read as frames
    reader.refresh()
    assert reader.predictions()["id"].to_list() == [*before["id"].to_list(), "later"]
    assert reader.duplicates == 11


STEPS = [
    "folder", "answers-tab.arrow", "answers-tab-3.arrow", "answers-img-3.arrow", "truths.arrow", "failures.arrow",
    "ids.u64", "manifest.json", "checked", "renamed", "flushed", "removed",
]  # fmt: skip


@pytest.mark.parametrize(
    "last",
    [
        pytest.param(name, marks=[] if name in ("truths.arrow", "checked", "renamed") else pytest.mark.slow)
        for name in STEPS
    ],
)
def test_a_kill_after_any_step_leaves_each_row_once(tmp_path: Path, last: str) -> None:
    fill(tmp_path).close()
    before = told(tmp_path)
    program = [sys.executable, str(Path(__file__).with_name("compacting.py")), str(tmp_path), last]
    killed = subprocess.run(program, capture_output=True, text=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert killed.stdout.split() == STEPS[: STEPS.index(last) + 1]
    assert told(tmp_path) == before
    compact(tmp_path)
    assert told(tmp_path) == before
    assert list(tmp_path.glob("*.seg")) == []
    assert [path.name for path in tmp_path.glob(".*.draft")] == []


def test_two_do_not_compact_at_once(tmp_path: Path) -> None:
    fill(tmp_path, limit=1_000).close()
    before = told(tmp_path)
    program = [sys.executable, str(Path(__file__).with_name("compacting.py")), str(tmp_path), "none"]
    running = [subprocess.Popen(program, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) for _ in range(2)]
    for one in running:
        assert one.communicate()[1] == b""
    assert told(tmp_path) == before


def test_a_damaged_segment_is_left_and_the_rest_of_it_read(tmp_path: Path) -> None:
    written = Written(tmp_path)
    for number in range(5):
        written.answer([f"{number}-{row}" for row in range(4)], T0 + number * HOUR)
    written.close()
    (path,) = tmp_path.glob("*.seg")
    data = bytearray(path.read_bytes())
    data[data.index(b"2-0") + 40] ^= 1
    path.write_bytes(data)
    said: list[str] = []
    assert compact(tmp_path, told=said.append) == []
    assert said == [f"{path.name} is damaged: 4 of 20 rows cannot be read (it is left as it is, and read so)"]
    reader = TelemetryReader(tmp_path)
    reader.refresh()
    assert sorted({name[0] for name in reader.predictions()["id"]}) == ["0", "1", "3", "4"]
    assert reader.damaged == {path.stem: "4 of 20 rows cannot be read"}


def test_a_damaged_file_is_noticed_before_it_is_understood(tmp_path: Path) -> None:
    fill(tmp_path).close()
    (name,) = compact(tmp_path)
    file = tmp_path / name / "truths.arrow"
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    reader = TelemetryReader(tmp_path)
    with pytest.raises(PermanentError, match=r"truths\.arrow is damaged"):
        reader.refresh()


def test_a_manifest_of_a_newer_trimtab_is_refused(tmp_path: Path) -> None:
    fill(tmp_path).close()
    (name,) = compact(tmp_path)
    path = tmp_path / name / MANIFEST
    path.write_text(path.read_text().replace('"version": 1', '"version": 2'))
    with pytest.raises(PermanentError, match="newer Trimtab"):
        TelemetryReader(tmp_path).refresh()


def test_other_tools_read_it(tmp_path: Path) -> None:
    """pyarrow and Polars see named columns of plain types; categories come as words."""
    written = Written(tmp_path)
    matrix = [[0.5, 0], [np.nan, 2], [1.5, -1], [2.5, 7.0]]  # the last code is in no vocabulary: a caller's mistake
    written.answer(["a", "b", "c", "d"], T0, matrix=matrix)
    written.tell({"a": 1.0, "b": "late"}, T0 + HOUR)
    written.close()
    (name,) = compact(tmp_path)
    with pa.ipc.open_file(tmp_path / name / "answers-tab.arrow") as file:
        table = file.read_all()
    assert table.column_names == [
        "id", "time", "release", "model", "stage", "generation", "score", "latency", "kept", "share",
        "input_distance", "input_carrier",
    ]  # fmt: skip
    assert table.schema.field("time").type == pa.timestamp("us", tz="UTC")
    assert table.column("id").to_pylist() == ["a", "b", "c", "d"]
    assert table.column("time").to_pylist() == [T0] * 4
    assert table.column("input_distance").to_pylist() == [0.5, None, 1.5, 2.5]
    assert table.column("input_carrier").to_pylist() == ["AA", "UA", None, None]
    assert pa.dataset.dataset([str(tmp_path / name / "answers-tab.arrow")], format="ipc").count_rows() == 4
    lazy = pl.scan_ipc(tmp_path / "*" / "answers-*.arrow").filter(pl.col("input_carrier") == "AA")
    assert lazy.collect()["id"].to_list() == ["a"]
    truths = pl.read_ipc(tmp_path / name / "truths.arrow")
    assert truths["truth"].to_list() == [1.0, None]
    assert truths["words"].to_list() == [None, "late"]
    manifest = read_manifest(tmp_path / name)
    assert [one.vocabulary for one in manifest.encodings[0].columns] == [[], CARRIERS]
    reader = TelemetryReader(tmp_path)
    reader.refresh()
    found = reader.features(None, None, "r1").matrix
    np.testing.assert_array_equal(found, np.float32([[0.5, 0], [np.nan, 2], [1.5, -1], [2.5, -1]]))


def test_large_inputs_leave_their_digest_and_their_shape(tmp_path: Path) -> None:
    written = Written(tmp_path, TelemetryPolicy(large=30, sample=0.5))
    payloads = [bytes([row]) * (20 + row) for row in range(60)]
    ids = [f"p{row}" for row in range(60)]
    written.look(ids, T0, payloads)
    written.close()
    (name,) = compact(tmp_path)
    table = pl.read_ipc(tmp_path / name / "answers-img-3.arrow")
    assert table["shape"].to_list() == [f"image UINT8[{len(one)}]" for one in payloads]
    assert table["bytes"].to_list() == [len(one) for one in payloads]
    assert table["digest"].to_list() == [digest(one).hex() for one in payloads]
    assert table["payload"].to_list() == [
        one if kept else None for one, kept in zip(payloads, table["kept"], strict=True)
    ]
    assert table["share"].to_list() == [1.0] * 11 + [0.5] * 49
    assert table["kept"].to_list()[:11] == [True] * 11
    assert 10 < table["kept"].sum() - 11 < 40
    again = tmp_path / "again"
    shutil.copytree(tmp_path / name, again / name)
    reader = TelemetryReader(again)
    reader.refresh()
    assert reader.scores(None, None, "seer")[0].shape == (60, 3)


def test_models_without_scores_are_kept_by_what_they_answered(tmp_path: Path) -> None:
    written = Written(tmp_path)
    said = [{"boxes": [[1, 2, 3, 4]], "labels": ["cat"]}, None]
    written.name(["a", "b"], T0, said)
    written.close()
    before = told(tmp_path)
    assert before["predictions"][0]["score"] != before["predictions"][0]["score"]  # type: ignore[index]
    (name,) = compact(tmp_path)
    table = pl.read_ipc(tmp_path / name / "answers-img-0.arrow")
    assert table["score"].to_list() == [None, None]
    assert table["answer"].to_list() == ['{"boxes":[[1,2,3,4]],"labels":["cat"]}', None]
    assert table["payload"].to_list() == [b"x", b"x"]
    reader = TelemetryReader(tmp_path)
    reader.refresh()
    assert reader.predictions()["id"].to_list() == ["a", "b"]
    assert joined(reader)["answer"].to_list() == table["answer"].to_list()
    assert reader.scores(None, None, "namer")[0].shape == (2, 0)
