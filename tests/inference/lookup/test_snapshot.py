"""The embedded store of features holds what every store must, and its own promises."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from trimtab.errors import TemporaryError
from trimtab.inference.lookup.port import FeatureLookup, Known, View
from trimtab.inference.lookup.snapshot import FeatureSnapshot
from trimtab.testing.lookup import SKY, FeatureLookupSuite, Rows


class TestSnapshot(FeatureLookupSuite):
    def open(self, folder: Path) -> FeatureLookup:
        return FeatureSnapshot(folder / "features.db")

    def publish(self, store: FeatureLookup, view: View, version: str, rows: Rows) -> None:
        assert isinstance(store, FeatureSnapshot)
        store.publish(view, version, rows)


def test_what_was_published_is_told_with_its_version(tmp_path):
    store = FeatureSnapshot(tmp_path / "serve" / "features.db")
    assert store.published() == {}
    assert store.publish(SKY, "v1", [(("a", 1), 10, (1.0, "x", True)), (("a", None), 10, (1.0, "x", True))]) == 1
    assert store.published() == {"sky": "v1"}
    store.withdraw(["sky", "other"])
    assert store.published() == {}
    assert list(store.views()) == []


def test_moments_come_back_as_moments(tmp_path):
    store = FeatureSnapshot(tmp_path / "features.db")
    noon = datetime(2026, 1, 1, 12, tzinfo=UTC)
    store.publish(View(name="v", entity=("k",), columns=("since",)), "1", [((1,), 10, (noon,))])
    assert store.read("v", [(1,)], [10]) == [Known(10, (noon,))]


def test_only_its_owner_may_read_it(tmp_path):
    store = FeatureSnapshot(tmp_path / "features.db")
    store.publish(SKY, "1", [])
    assert stat.S_IMODE((tmp_path / "features.db").stat().st_mode) == 0o600


def test_a_damaged_file_is_told_as_trouble_and_not_as_nothing(tmp_path):
    path = tmp_path / "features.db"
    path.write_bytes(b"no database" * 1000)
    store = FeatureSnapshot(path)
    with pytest.raises(TemporaryError, match="cannot be used now"):
        store.views()
    with pytest.raises(TemporaryError):
        store.read("sky", [("a", 1)], [10])


PUBLISHER = """
import sys
from pathlib import Path
from trimtab.inference.lookup.snapshot import FeatureSnapshot
from trimtab.testing.lookup import SKY
store, version = FeatureSnapshot(Path(sys.argv[1])), 0
while True:
    version += 1
    store.publish(SKY, str(version), ((("a", n), 10, (float(version), "x", True)) for n in range(3000)))
    print(version, flush=True)
"""


def test_a_publisher_killed_at_any_instant_leaves_a_whole_version(tmp_path):
    path = tmp_path / "features.db"
    reader = FeatureSnapshot(path)
    keys, newest = [("a", n) for n in range(0, 3000, 100)], 0
    for delay in (0.0, 0.007, 0.013, 0.029):
        process = subprocess.Popen([sys.executable, "-c", PUBLISHER, str(path)], stdout=subprocess.PIPE)
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(delay)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()
        found = {known.values[0] for known in reader.read("sky", keys, [10] * len(keys)) if known is not None}
        assert len(found) == 1
        assert float(reader.published()["sky"]) == found.pop()
        newest += 1
    assert newest == 4


def test_a_lookup_takes_microseconds(tmp_path):
    """The figure that matters is a request's; this only guards against a scan of the table."""
    store = FeatureSnapshot(tmp_path / "features.db")
    store.publish(SKY, "1", (((f"p{n}", n % 7), at, (float(n), "x", True)) for n in range(5000) for at in (1, 2, 3)))
    keys = [(f"p{n}", n % 7) for n in range(0, 5000, 50)]
    store.read("sky", keys, [3] * 100)
    began = time.process_time()
    for _ in range(10):
        assert len(store.read("sky", keys, [3] * 100)) == 100
    assert (time.process_time() - began) / 1000 < 0.0005
