"""Points on disk: buffered, whole or not there, whatever happens to the process that writes them."""

from __future__ import annotations

import math
import multiprocessing
import os
import random
import signal
import threading
import time
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.errors import PermanentError
from trimtab.training.tracking.recorder import (
    MOST_ARTIFACTS,
    MOST_SERIES,
    POINTS,
    Recorder,
    dropped_in,
)
from trimtab.training.tracking.segment import Frame, points_of, read_frames


def points(folder: Path) -> pl.DataFrame:
    return points_of(read_frames(folder / POINTS)[0])


def series(folder: Path, name: str) -> dict[int, float]:
    found = points(folder).filter(pl.col("name") == name)
    return dict(zip(found["step"].to_list(), found["value"].to_list(), strict=True))


def test_what_is_logged_is_read_back(tmp_path):
    recorder = Recorder(tmp_path)
    for step in range(10_000):
        recorder.metrics({"a": step / 3, "b": -step}, step)
    recorder.turn_to("shipped")
    recorder.metrics({"a": math.inf}, None)
    recorder.metrics({"a": math.nan}, None)
    recorder.close()
    found = points(tmp_path)
    assert found.height == 20_002
    assert series(tmp_path.parent / tmp_path.name, "b") == {step: -float(step) for step in range(10_000)}
    again = found.filter(pl.col("fit") == "shipped")
    assert again["step"].to_list() == [0, 1]
    assert str(again["value"].to_list()) == "[inf, nan]"
    assert found["at"].min() > 1e15


def test_nothing_is_made_where_nothing_is_logged(tmp_path):
    recorder = Recorder(tmp_path / "tracked")
    recorder.turn_to("shipped")
    recorder.close()
    assert not (tmp_path / "tracked").exists()


@given(data=st.data())
def test_a_torn_end_costs_the_last_frame_and_the_next_process_goes_on(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("torn")
    recorder = Recorder(folder)
    for step in range(3):
        recorder.metrics({"a": step}, step)
        recorder._flush()
    recorder.close()
    whole = (folder / POINTS).read_bytes()
    frames, size = read_frames(folder / POINTS)
    assert (len(frames), size) == (3, len(whole))
    cut = data.draw(st.integers(0, len(whole) - 1))
    damage = data.draw(st.booleans())
    torn = bytearray(whole)
    if damage:
        torn[cut] ^= data.draw(st.integers(1, 255))
    else:
        del torn[cut:]
    (folder / POINTS).write_bytes(torn)
    left = len(read_frames(folder / POINTS)[0])
    assert left == cut * 3 // len(whole)  # the frames are of one length
    following = Recorder(folder)
    following.metrics({"a": 9}, 7)
    following.close()
    assert series(folder, "a") == {**{float(s): float(s) for s in range(left)}, 7: 9.0}


def test_a_step_logged_again_holds_the_last_and_a_later_process_does_over(tmp_path):
    first = Recorder(tmp_path)
    for step in range(8):
        first.metrics({"a": step, "only": step}, step)
    first.metrics({"a": 70}, 7)
    first.close()
    second = Recorder(tmp_path)
    second.metrics({"a": 50}, 5)
    second.close()
    assert series(tmp_path, "a") == {0: 0, 1: 1, 2: 2, 3: 3, 4: 4, 5: 50}
    assert len(series(tmp_path, "only")) == 8
    third = Recorder(tmp_path)
    third.metrics({"a": 3.5}, 3)
    third.close()
    assert series(tmp_path, "a") == {0: 0, 1: 1, 2: 2, 3: 3.5}


def test_threads_log_at_once(tmp_path):
    recorder = Recorder(tmp_path)

    def work(name):
        for step in range(3000):
            recorder.metrics({name: step}, step)

    threads = [threading.Thread(target=work, args=(f"t{i}",)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    recorder.close()
    for i in range(4):
        assert series(tmp_path, f"t{i}") == {step: float(step) for step in range(3000)}


def _log_for_ever(folder: Path) -> None:
    recorder = Recorder(folder)
    step = 0
    while True:
        recorder.metrics({"a": step, "b": 2 * step}, step)
        if step % 50 == 0:
            recorder.artifact("file.bin", str(step).encode() * 1000)
        step += 1
        if step % 500 == 0:
            recorder._flush()
            (folder / "flushed").write_text(str(step))


def test_sigkill_costs_at_most_what_was_not_flushed_and_tears_nothing(tmp_path):
    draw = random.Random(11)
    for number in range(3):
        folder = tmp_path / str(number)
        folder.mkdir()
        child = multiprocessing.get_context("fork").Process(target=_log_for_ever, args=(folder,))
        child.start()
        while not (folder / "flushed").exists():
            time.sleep(0.005)
        time.sleep(draw.random() * 0.1)
        os.kill(child.pid, signal.SIGKILL)
        child.join()
        flushed = int((folder / "flushed").read_text() or 0)
        found = series(folder, "a")
        assert len(found) >= flushed
        assert found == {step: float(step) for step in range(len(found))}
        assert series(folder, "b") == {step: 2.0 * step for step in range(len(found))}
        content = (folder / "artifacts" / "file.bin").read_bytes()
        assert len(content) % 1000 == 0


def test_a_child_process_records_nothing(tmp_path):
    recorder = Recorder(tmp_path)
    recorder.metrics({"a": 1}, 0)
    child = multiprocessing.get_context("fork").Process(target=recorder.metrics, args=({"a": 2}, 1))
    child.start()
    child.join()
    recorder.close()
    assert series(tmp_path, "a") == {0: 1.0}


def test_what_is_beyond_the_limits_is_left_out_and_said(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("trimtab.training.tracking.recorder.MOST_POINTS", 10)
    monkeypatch.setattr("trimtab.training.tracking.recorder.MOST_BYTES", 100)
    recorder = Recorder(tmp_path)
    recorder.metrics({f"m{i}": i for i in range(MOST_SERIES + 5)}, 0)
    recorder.artifact("large.bin", b"x" * 101)
    for number in range(MOST_ARTIFACTS + 1):
        recorder.artifact(f"{number}.txt", b"")
    recorder.close()
    assert dropped_in(tmp_path) == (
        f"metrics beyond the first {MOST_SERIES:,} names",
        "points beyond the first 10",
        "artifact 'large.bin': more than 0 MiB in all",
        f"artifacts beyond the first {MOST_ARTIFACTS:,}",
    )
    assert capsys.readouterr().out.count("not kept: ") == 4
    assert points(tmp_path).height == 0


@pytest.mark.parametrize("name", ["", "..", "a/../b", "/abs", "a//b", "a\nb", "-", "x/" * 9 + "y"])
def test_names_of_artifacts_stay_below_their_folder(name, tmp_path):
    recorder = Recorder(tmp_path / "tracked")
    with pytest.raises(PermanentError, match="cannot be the name of an artifact"):
        recorder.artifact(name, b"")
    assert not (tmp_path / "tracked").exists()


def test_frames_of_nothing_are_no_points():
    assert points_of([]).height == 0
    assert points_of([Frame(1, "evaluated", [], b"", b"", b"", b"")]).height == 0


def test_a_full_disk_fails_no_training(tmp_path, monkeypatch):
    recorder = Recorder(tmp_path)
    recorder.metrics({"a": 1}, 0)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("trimtab.training.tracking.recorder.write_frame", full)
    monkeypatch.setattr("pathlib.Path.write_bytes", full)
    recorder.metrics({"a": 2}, 1)
    recorder.flush()
    recorder.artifact("a.txt", b"x")
    recorder.close()
    assert series(tmp_path, "a") == {0: 1.0}
    assert dropped_in(tmp_path) == (
        "1 points or more: No space left on device",
        "artifact 'a.txt': No space left on device",
    )


def test_callbacks_log_what_is_evaluated(tmp_path):
    import lightgbm
    import numpy as np
    import xgboost

    import trimtab
    from trimtab.training.tracking.log import record_with

    draw = np.random.default_rng(0)
    x = draw.normal(size=(200, 3))
    y = (x[:, 0] > 0).astype(int)
    recorder = Recorder(tmp_path)
    record_with(recorder)
    try:
        rounds = {}
        lightgbm.train(
            {"objective": "binary", "metric": "auc", "verbose": -1},
            lightgbm.Dataset(x, y),
            num_boost_round=5,
            valid_sets=[lightgbm.Dataset(x, y)],
            callbacks=[trimtab.lightgbm_callback(), lightgbm.record_evaluation(rounds)],
        )
        boosted = xgboost.XGBClassifier(n_estimators=5, callbacks=[trimtab.xgboost_callback("xgb/")])
        boosted.fit(x, y, eval_set=[(x, y)], verbose=False)
    finally:
        record_with(None)
        recorder.close()
    told = boosted.evals_result()["validation_0"]["logloss"]
    assert list(series(tmp_path, "xgb/validation_0/logloss").values()) == told
    assert list(series(tmp_path, "valid_0/auc").values()) == rounds["valid_0"]["auc"]
    assert sorted(series(tmp_path, "valid_0/auc")) == [0, 1, 2, 3, 4]
