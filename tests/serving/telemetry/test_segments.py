"""Segments, their writer and their reader: nothing lost, nothing twice, whatever the tail looks like."""

from __future__ import annotations

import time
from array import array
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab.errors import PermanentError, TemporaryError
from trimtab.serving.telemetry.reading.reader import TelemetryReader
from trimtab.serving.telemetry.segments import (
    ANSWERED,
    FEEDBACK,
    HEAD,
    SEAL_SIZE,
    SHADOWED,
    Scored,
    Truths,
    frames,
    micros,
    moment,
    pack,
    read_seal,
    segment_name,
)
from trimtab.serving.telemetry.writing.recovery import abandoned, debts
from trimtab.serving.telemetry.writing.writer import TelemetryWriter

T0 = datetime(2013, 1, 1, tzinfo=UTC)


def scored(
    ids: list[str], at: datetime, release: str = "r1", stage: str = "live", batch: int = 0, **more: object
) -> Scored:
    rows = len(ids)
    return Scored(
        run=1,
        batch=batch,
        generation=1,
        release=release,
        model=f"model-{release}",
        stage=stage,
        ids=ids,
        at=array("q", [micros(at)] * rows).tobytes(),
        latency=array("f", [0.001] * rows).tobytes(),
        scores=np.arange(rows, dtype=np.float32).tobytes(),
        outputs=1,
        width=2,
        encoding="e",
        **more,  # type: ignore[arg-type]
    )


def matrix_of(rows: int, first: float = 0.0) -> bytes:
    return np.arange(first, first + 2 * rows, dtype=np.float32).tobytes()


def write(writer: TelemetryWriter, record: Scored, kind: int = ANSWERED) -> None:
    stamps = array("q", record.at)
    frame = pack(kind, msgspec.msgpack.encode(record), matrix_of(len(record.ids)))
    writer.write([frame], min(stamps), max(stamps), len(record.ids))


def tell(writer: TelemetryWriter, truths: dict[str, float], at: datetime) -> None:
    record = Truths(ids=list(truths), truths=list(truths.values()), at=array("q", [micros(at)] * len(truths)).tobytes())
    writer.write([pack(FEEDBACK, msgspec.msgpack.encode(record))], micros(at), micros(at), len(truths))


@given(st.lists(st.tuples(st.binary(max_size=50), st.binary(max_size=50)), max_size=8), st.data())
def test_frames_before_a_torn_tail_are_whole(parts: list[tuple[bytes, bytes]], data: st.DataObject) -> None:
    packed = [pack(ANSWERED, meta, matrix) for meta, matrix in parts]
    whole = b"".join(packed)
    cut = data.draw(st.integers(0, len(whole)))
    found = list(frames(whole[:cut]))
    ends = [sum(map(len, packed[: place + 1])) for place in range(len(packed))]
    assert [frame.end for frame in found] == [end for end in ends if end <= cut]
    assert [bytes(frame.meta) for frame in found] == [meta for meta, _ in parts[: len(found)]]


@given(st.binary(min_size=1, max_size=60), st.data())
def test_a_changed_byte_is_noticed(body: bytes, data: st.DataObject) -> None:
    whole = bytearray(pack(ANSWERED, body))
    place = data.draw(st.integers(13, len(whole) - 1))
    whole[place] ^= data.draw(st.integers(1, 255))
    assert not list(frames(bytes(whole)))


@given(st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1)))
def test_moments_survive(naive: datetime) -> None:
    aware = naive.replace(tzinfo=UTC)
    assert moment(micros(aware)) == aware


@given(st.lists(st.integers(0, 2**52), min_size=2, max_size=5))
def test_names_sort_by_time(stamps: list[int]) -> None:
    names = [segment_name(stamp, 1, 0) for stamp in stamps]
    assert sorted(names) == [segment_name(stamp, 1, 0) for stamp in sorted(stamps)]


@settings(max_examples=30)
@given(st.data())
def test_whatever_is_cut_off_the_reader_and_the_next_start_agree(data: st.DataObject) -> None:
    """A file cut at any byte: what was whole is there, what was torn is not, before and after recovery."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        writer = TelemetryWriter(folder)
        for number in range(4):
            write(writer, scored([f"{number}-{row}" for row in range(3)], T0 + timedelta(days=number), batch=number))
        writer.close(seal=False)
        (path,) = folder.glob("*.seg")
        whole = path.read_bytes()
        ends = [frame.end for frame in frames(whole[8:], 8)]
        cut = data.draw(st.integers(0, len(whole)) | st.sampled_from(ends))
        path.write_bytes(whole[:cut] + data.draw(st.sampled_from([b"", b"\0" * 40])))
        expected = sum(3 for end in ends if end <= cut)
        reader = TelemetryReader(folder)
        if cut >= 8:
            reader.refresh()
            assert len(reader.predictions()) == expected
        for segment in abandoned(folder):
            segment.seal()
        assert [read_seal(one) is not None for one in folder.glob("*.seg")] == [True] * bool(expected)
        again = TelemetryReader(folder)
        again.refresh()
        assert len(again.predictions()) == expected
        if cut >= 8 and expected:
            reader.refresh()
            assert reader.predictions().equals(again.predictions())


def test_a_reader_takes_only_what_is_new(tmp_path: Path) -> None:
    writer = TelemetryWriter(tmp_path, limit=2_000)
    reader = TelemetryReader(tmp_path)
    assert reader.refresh() == 0
    assert len(reader.predictions()) == 0
    for number in range(60):
        write(writer, scored([f"{number}-{row}" for row in range(5)], T0 + timedelta(hours=number), batch=number))
        tell(writer, {f"{number}-0": 1.0}, T0 + timedelta(hours=number + 2))
        assert reader.refresh() == 6
    assert len(list(tmp_path.glob("*.seg"))) > 5
    writer.close()
    reader.refresh()
    fresh = TelemetryReader(tmp_path)
    fresh.refresh()
    assert reader.predictions().equals(fresh.predictions())
    frame = reader.predictions(T0 + timedelta(hours=10), T0 + timedelta(hours=12))
    assert frame["at"].unique().to_list() == [T0 + timedelta(hours=10), T0 + timedelta(hours=11)]
    assert frame["label"].null_count() == 8
    assert frame["truth_at"].drop_nulls().to_list() == [T0 + timedelta(hours=12), T0 + timedelta(hours=13)]
    assert reader.refresh() == 0


def test_segments_from_before_the_window_are_not_opened(tmp_path: Path) -> None:
    writer = TelemetryWriter(tmp_path, limit=1)
    for number in range(10):
        write(writer, scored([str(number)], T0 + timedelta(days=number), batch=number))
    writer.close()
    for path in sorted(tmp_path.glob("*.seg"))[:7]:
        path.write_bytes(b"not read" + path.read_bytes()[8:])
    reader = TelemetryReader(tmp_path)
    assert reader.refresh() == 0
    assert reader.predictions(since=T0 + timedelta(days=7))["id"].to_list() == ["7", "8", "9"]


def test_an_id_is_kept_once_for_each_release(tmp_path: Path) -> None:
    writer = TelemetryWriter(tmp_path)
    write(writer, scored(["a", "b"], T0))
    write(writer, scored(["b", "c", "c"], T0 + timedelta(hours=1)))
    tell(writer, {"b": 1.0, "d": 0.0}, T0 + timedelta(hours=2))
    write(writer, scored(["a", "b"], T0, "r2", "shadow"), SHADOWED)
    write(writer, scored(["b", "d"], T0, "r2", "shadow"), SHADOWED)
    writer.close()
    reader = TelemetryReader(tmp_path)
    reader.refresh()
    frame = reader.predictions()
    assert list(zip(frame["id"], frame["release"], frame["label"], strict=True)) == [
        ("a", "r1", None),
        ("a", "r2", None),
        ("b", "r1", 1.0),
        ("b", "r2", 1.0),
        ("d", "r2", 0.0),
        ("c", "r1", None),
    ]
    assert reader.duplicates == 3
    assert reader.features(None, None, "r2").ids == ["a", "b", "d"]


def test_features_come_from_the_rows_they_belong_to(tmp_path: Path) -> None:
    writer = TelemetryWriter(tmp_path, limit=700)
    kept = {}
    for number in range(20):
        ids = [f"{number}-{row}" for row in range(1 + number % 3)]
        record = scored(ids, T0 + timedelta(minutes=30 - number), batch=number)
        matrix = np.random.default_rng(number).normal(size=(len(ids), 2)).astype(np.float32)
        kept.update(zip(ids, matrix.tolist(), strict=True))
        frame = pack(ANSWERED, msgspec.msgpack.encode(record), matrix.tobytes())
        writer.write([frame], micros(T0), micros(T0), len(ids))
    writer.close()
    reader = TelemetryReader(tmp_path)
    reader.refresh()
    matrix, ids, *_ = reader.features(None, None, "r1")
    assert dict(zip(ids, matrix.tolist(), strict=True)) == kept
    assert ids == reader.predictions()["id"].to_list()
    assert reader.features(None, None, "other").matrix.shape == (0, 0)


def test_shadow_scores_that_are_owed_are_found(tmp_path: Path) -> None:
    writer = TelemetryWriter(tmp_path, limit=900)
    for number in range(6):
        write(writer, scored([f"{number}"], T0, batch=number, owes=["r2", "r3"]))
    for number in range(4):
        write(writer, scored([f"{number}"], T0, "r2", "shadow", batch=number), SHADOWED)
    writer.close(seal=False)
    for path in tmp_path.glob("*.seg"):
        path.write_bytes(path.read_bytes()[:-SEAL_SIZE] if read_seal(path) is not None else path.read_bytes())
    left = abandoned(tmp_path)
    found = debts(left)
    assert [(debt.release, debt.answered.batch) for debt in found if debt.release == "r2"] == [("r2", 4), ("r2", 5)]
    assert [debt.answered.batch for debt in found if debt.release == "r3"] == [0, 1, 2, 3, 4, 5]
    assert np.frombuffer(found[0].matrix, np.float32).tolist() == [0.0, 1.0]
    assert abandoned(tmp_path) == []  # locked by the one who found them
    for segment in left:
        segment.seal()
    assert all(read_seal(path) is not None for path in tmp_path.glob("*.seg"))


def test_a_segment_in_use_is_left_alone(tmp_path: Path) -> None:
    writer = TelemetryWriter(tmp_path)
    write(writer, scored(["a"], T0))
    assert abandoned(tmp_path) == []
    writer.close(seal=False)
    assert len(abandoned(tmp_path)) == 1


def test_a_full_disk_loses_nothing(tmp_path: Path) -> None:
    """RLIMIT_FSIZE stands in for the disk's end: the same error path of the same system call."""
    import resource

    writer = TelemetryWriter(tmp_path)
    write(writer, scored(["a"], T0))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    size = next(tmp_path.glob("*.seg")).stat().st_size
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 20, before[1]))
    try:
        with pytest.raises(TemporaryError, match="telemetry cannot be written: File too large"):
            write(writer, scored(["b", "c"], T0))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert writer.failures == 1
    write(writer, scored(["d"], T0))
    writer.close()
    reader = TelemetryReader(tmp_path)
    reader.refresh()
    assert reader.predictions()["id"].to_list() == ["a", "d"]


def test_recovery_throws_nothing_away(tmp_path: Path) -> None:
    writer = TelemetryWriter(tmp_path)
    write(writer, scored(["a"], T0))
    writer.close(seal=False)
    (path,) = tmp_path.glob("*.seg")
    whole = path.read_bytes()
    path.write_bytes(whole + whole[8:-1])
    (tmp_path / "foreign.seg").write_bytes(b"something else entirely")
    (tmp_path / "begun.seg").write_bytes(whole[:5])
    for segment in abandoned(tmp_path):
        segment.seal()
    assert path.with_suffix(".seg.torn").read_bytes() == whole[8:-1]
    assert (tmp_path / "foreign.seg.damaged").read_bytes() == b"something else entirely"
    assert [one.name for one in tmp_path.glob("*.seg")] == [path.name]


@given(st.integers(0, 4), st.integers(0, 3), st.integers(0, 10_000))
def test_damage_in_the_middle_takes_only_the_frame_it_is_in(first: int, more: int, place: int) -> None:
    """A segment of a server that died is damaged within frames that others follow: the others are read, by who starts
    anew and by who had read it up to there; what was damaged is laid aside."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        writer = TelemetryWriter(folder)
        for number in range(8):
            write(writer, scored([f"{number}-a", f"{number}-b"], T0))
        writer.close(seal=False)
        (path,) = folder.glob("*.seg")
        reader = TelemetryReader(folder)
        data = bytearray(path.read_bytes())
        found = [one for one in frames(memoryview(bytes(data))[8:], 8) if one.kind == ANSWERED]
        hurt = sorted({first, (first + more) % 7})
        for number in hurt:
            body = found[number].start + HEAD.size
            data[body + place % (found[number].end - body)] ^= 0x55
        path.write_bytes(data)
        reader.refresh()
        (left,) = abandoned(folder)
        assert left.damaged
        assert left.cut == sum(found[number].end - found[number].start for number in hurt)
        left.seal()
        reader.refresh()
        fresh = TelemetryReader(folder)
        fresh.refresh()
        wanted = [f"{number}-{row}" for number in range(8) if number not in hurt for row in "ab"]
        assert sorted(reader.predictions()["id"]) == sorted(fresh.predictions()["id"]) == wanted
        assert fresh.damaged == {}
        aside = path.with_suffix(".seg.torn").read_bytes()
        assert aside == b"".join(bytes(data[found[number].start : found[number].end]) for number in hurt)
        assert [(one.suffix, one.stat().st_mode & 0o777) for one in sorted(folder.iterdir())] == [
            (".seg", 0o600),
            (".torn", 0o600),
        ]


def test_what_is_no_segment_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.seg").write_bytes(b"something else entirely")
    with pytest.raises(PermanentError, match=r"x\.seg is not a telemetry segment"):
        TelemetryReader(tmp_path).refresh()


def test_a_year_is_read_in_a_second_and_a_half(tmp_path: Path) -> None:
    """280,000 predictions of 30 floats with their truth; the bound is four times what an idle machine needs."""
    writer = TelemetryWriter(tmp_path)
    cells = np.zeros((40, 30), np.float32).tobytes()
    for number in range(7_000):
        at = T0 + timedelta(minutes=75 * number)
        ids = [f"2013-{number:05d}-{row:02d}" for row in range(40)]
        record = msgspec.structs.replace(scored(ids, at, batch=number), width=30)
        stamp = micros(at)
        writer.write([pack(ANSWERED, msgspec.msgpack.encode(record), cells)], stamp, stamp, 40)
        tell(writer, dict.fromkeys(ids, 1.0), at + timedelta(hours=8))
    writer.close()
    start = time.process_time()
    reader = TelemetryReader(tmp_path)
    reader.refresh()
    assert len(reader.predictions()) == 280_000
    assert time.process_time() - start < 1.5
    start = time.process_time()
    week = reader.predictions(T0 + timedelta(days=100), T0 + timedelta(days=107))
    found = reader.features(T0 + timedelta(days=100), T0 + timedelta(days=107), "r1")
    assert time.process_time() - start < 0.25
    assert len(week) == len(found.matrix)
    assert len(week) in (134 * 40, 135 * 40)
