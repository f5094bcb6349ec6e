"""A store that takes a conditional PUT and overwrites all the same is refused for several writers."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from tests.adapters.conftest import absent

from trimtab.data.port import DataError
from trimtab.data.store.home import Home
from trimtab.data.store.versions import DatasetStore
from trimtab.errors import TrimtabError
from trimtab.records.objects import BucketObjects, keeps_one_of_two
from trimtab.testing.datasets import LATER, TRIPS, hours, trips
from trimtab.wiring.serving import free_port

pytestmark = pytest.mark.component

RCLONE = Path(__file__).parents[3] / "build" / "components" / "rclone" / "bin" / "rclone"
KEYS = {"AWS_ACCESS_KEY_ID": "a-key", "AWS_SECRET_ACCESS_KEY": "a-secret-of-tests", "AWS_REGION": "us-east-1"}


@pytest.fixture(scope="module")
def environ(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """What tells a client of `rclone serve s3` on a folder with one bucket."""
    if not RCLONE.exists():
        absent("rclone", "tools/component rclone")
    folder = tmp_path_factory.mktemp("rclone")
    (folder / "served" / "bucket").mkdir(parents=True)
    port = free_port()
    words = [str(RCLONE), "serve", "s3", str(folder / "served"), "--addr", f"127.0.0.1:{port}",
             "--auth-key", f"{KEYS['AWS_ACCESS_KEY_ID']},{KEYS['AWS_SECRET_ACCESS_KEY']}",
             "--config", str(folder / "none.conf"), "--vfs-cache-mode", "writes",
             "--cache-dir", str(folder / "cache")]  # fmt: skip
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(words, stdout=log, stderr=log)
    found = KEYS | {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}"}
    end = time.monotonic() + 30
    while True:
        try:
            with closing(socket.create_connection(("127.0.0.1", port), timeout=1)):
                break
        except OSError:
            assert process.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < end, (folder / "log").read_text()
            time.sleep(0.05)
    yield found
    process.kill()
    process.wait()


def test_several_writers_are_refused(environ: dict[str, str], tmp_path: Path) -> None:
    objects = BucketObjects("s3://bucket/probed", environ)
    assert not keeps_one_of_two(objects)
    home = Home(tmp_path, "s3://bucket/data", environ)
    with pytest.raises(DataError, match="cannot be written by several writers") as raised:
        DatasetStore(home, TRIPS).collect(trips(0, 5), until=hours(5), now=LATER)
    assert 'writers = "one"' in raised.value.hint
    assert DatasetStore(home, TRIPS).current() is None
    assert BucketObjects("s3://bucket/data", environ).sizes("trips") == {}


def test_a_single_writer_may_use_it(environ: dict[str, str], tmp_path: Path) -> None:
    home = Home(tmp_path, "s3://bucket/alone", environ, one_writer=True)
    store = DatasetStore(home, TRIPS)
    store.collect(trips(0, 20), until=hours(20), now=LATER)
    store.collect(trips(20, 30), until=hours(30), now=LATER)
    assert DatasetStore(home, TRIPS).verify().sound
    assert DatasetStore(home, TRIPS).read().height == 30


def test_wrong_keys_are_told(environ: dict[str, str], tmp_path: Path) -> None:
    home = Home(tmp_path, "s3://bucket/wrong", environ | {"AWS_SECRET_ACCESS_KEY": "another-secret"})
    with pytest.raises(TrimtabError) as raised:
        DatasetStore(home, TRIPS).collect(trips(0, 5), until=hours(5), now=LATER)
    assert "another-secret" not in f"{raised.value} {raised.value.hint}"
