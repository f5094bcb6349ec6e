"""Blobs are found by their content, checked when they are read, and named by refs that change whole."""

from __future__ import annotations

import random
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from blake3 import blake3
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.records.writers import keep_until_killed

from trimtab.errors import PermanentError, TemporaryError
from trimtab.records.blobs import Blobs


@pytest.fixture
def blobs(tmp_path):
    return Blobs(tmp_path / "blobs")


@settings(max_examples=40)
@given(data=st.binary(max_size=3000))
def test_bytes_come_back_under_their_digest(data, tmp_path_factory):
    blobs = Blobs(tmp_path_factory.getbasetemp() / "generated")
    digest = blobs.put(data)
    assert digest == blake3(data).hexdigest()
    assert blobs.put(data) == digest
    assert blobs.get(digest) == data
    assert blobs.path(digest).read_bytes() == data
    assert blobs.has(digest)
    assert blobs.size(digest) == len(data)


def test_a_file_is_kept_like_its_bytes(blobs, tmp_path):
    content = random.Random(1).randbytes(12_000_000)
    file = tmp_path / "model.onnx"
    file.write_bytes(content)
    digest = blobs.put_file(file)
    assert digest == blake3(content).hexdigest() == blobs.put_file(file) == blobs.put(content)
    assert blobs.get(digest) == content
    assert list((blobs.root / "incoming").iterdir()) == []
    with pytest.raises(PermanentError, match=r"no file at .*none\.onnx"):
        blobs.put_file(tmp_path / "none.onnx")


def test_a_flipped_byte_is_noticed_and_mended_by_keeping_the_same_again(blobs):
    digest = blobs.put(b"weights" * 100)
    path = blobs.path(digest)
    for damage in (b"Weights" + b"weights" * 99, b"weights" * 99, b""):
        path.write_bytes(damage)
        with pytest.raises(PermanentError, match=f"blob {digest} is damaged"):
            blobs.get(digest)
        assert blobs.put(b"weights" * 100) == digest
        assert blobs.get(digest) == b"weights" * 100


def test_a_missing_blob_is_named(blobs):
    digest = "ab" * 32
    assert not blobs.has(digest)
    assert blobs.get_ref("live") is None
    for read in (blobs.get, blobs.path, blobs.size):
        with pytest.raises(PermanentError, match=f"no blob {digest}"):
            read(digest)
    assert not blobs.root.exists()  # looking makes nothing


@pytest.mark.parametrize("digest", ["", "ab", "AB" * 32, "../" + "a" * 61, "g" * 64, "a" * 64 + "\n"])
def test_what_is_no_digest_is_refused(blobs, digest):
    for read in (blobs.get, blobs.path, blobs.has, blobs.size):
        with pytest.raises(PermanentError, match="is not a digest"):
            read(digest)


def test_a_ref_says_what_was_said_last(blobs):
    blobs.set_ref("live", "one")
    blobs.set_ref("live", "two and zwölf")
    blobs.set_ref("profiles/m-1a2b/v1.0", "three")
    assert blobs.get_ref("live") == "two and zwölf"
    assert blobs.get_ref("profiles/m-1a2b/v1.0") == "three"
    assert blobs.get_ref("profiles") is None
    assert Blobs(blobs.root).get_ref("live") == "two and zwölf"
    with pytest.raises((PermanentError, TemporaryError), match="ref live/now in the store"):
        blobs.set_ref("live/now", "four")
    assert blobs.get_ref("live/now") is None


@pytest.mark.parametrize("name", ["", "/", "..", "../live", "a/../b", "a//b", "/a", "a/", "a b", ".hidden", "a\n", "ä"])
def test_names_that_could_lead_elsewhere_are_refused(blobs, name):
    with pytest.raises(PermanentError, match="cannot be the name of a ref"):
        blobs.set_ref(name, "x")
    with pytest.raises(PermanentError, match="cannot be the name of a ref"):
        blobs.get_ref(name)


def test_a_store_that_cannot_be_written_says_so(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(PermanentError, match=r"blob .* in the store at"):
        Blobs(tmp_path / "file" / "blobs").put(b"x")


def test_a_killed_writer_leaves_whole_blobs_and_only_sweepings(tmp_path, start):
    blobs = Blobs(tmp_path / "blobs")
    instants = random.Random(5)
    for _ in range(8):
        writer = start(keep_until_killed, blobs.root)
        time.sleep(instants.uniform(0.02, 0.15))
        writer.kill()
        writer.join()
        kept = [path.name for path in (blobs.root / "objects").glob("*/*")]
        assert all(blobs.get(digest)[:7] == b"content" for digest in kept)
        newest = blobs.get_ref("newest")
        assert newest is None or blobs.get(newest)
    assert len(kept) > 8
    blobs.sweep(datetime.now(UTC) - timedelta(hours=1))
    left = len(list((blobs.root / "incoming").iterdir()))
    assert blobs.sweep(datetime.now(UTC) + timedelta(hours=1)) == left
    assert list((blobs.root / "incoming").iterdir()) == []
    assert all(blobs.has(digest) for digest in kept)
    assert Blobs(Path(tmp_path / "none")).sweep(datetime.now(UTC)) == 0
