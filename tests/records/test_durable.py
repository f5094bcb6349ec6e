"""A file written atomically is the old one or the new one."""

from __future__ import annotations

import random
import stat
import time

import pytest
from tests.records.writers import rewrite_until_killed

from trimtab.records import durable
from trimtab.records.durable import write_atomically


def test_it_makes_the_folder_and_replaces_the_content(tmp_path):
    path = tmp_path / "serve" / "deep" / "routes.json"
    write_atomically(path, b"one")
    write_atomically(path, b"two")
    assert path.read_bytes() == b"two"
    assert [each.name for each in path.parent.iterdir()] == ["routes.json"]
    write_atomically(tmp_path / "token", b"secret", mode=0o600)
    assert stat.S_IMODE((tmp_path / "token").stat().st_mode) == 0o600


def test_a_write_that_fails_leaves_the_old_content_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "routes.json"
    write_atomically(path, b"old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(durable.os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert [each.name for each in tmp_path.iterdir()] == ["routes.json"]


def test_a_killed_writer_leaves_one_whole_version(tmp_path, start, until):
    path, size = tmp_path / "routes.json", 300_000
    instants = random.Random(3)
    seen = set()
    for _ in range(8):
        before = path.read_bytes()[:1] if path.exists() else b""
        writer = start(rewrite_until_killed, path, size)
        until(lambda before=before: path.exists() and path.read_bytes()[:1] != before)
        time.sleep(instants.uniform(0.0, 0.03))
        writer.kill()
        writer.join()
        content = path.read_bytes()
        assert len(content) == size
        assert len(set(content)) == 1
        seen.add(content[:1])
    assert len(seen) > 1
