"""Packages: what needs no system to be tried: models of tensors, locked libraries, licences, writing whole or not."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.inference.tensors import graphs, media

from trimtab.deployment.package.libraries import closure, licences, pins, plain, version_of
from trimtab.deployment.package.running import from_features
from trimtab.deployment.package.writing import checksums, write_package
from trimtab.errors import PermanentError
from trimtab.records.model import Feature, Signature


def test_a_model_of_pictures_runs_alone(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(graphs.mean_colour())
    script = from_features(graphs.colour_signature(media.image_input()), {})
    assert len([line for line in script.splitlines() if line.strip()]) <= 10
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=50, check=False
    )
    assert done.returncode == 0, done.stderr
    assert re.match(r"\w+ \(1, 3\) \[", done.stdout)


@given(st.text(min_size=1, max_size=30), st.lists(st.text(min_size=1, max_size=12), min_size=1, max_size=4))
def test_any_name_and_any_category_can_stand_in_the_script(name: str, words: list[str]) -> None:
    feature = Feature(name=name, kind="category", vocabulary=tuple(words))
    signature = Signature(task="regression", inputs=(), features=(feature,))
    script = from_features(signature, {})
    line = next(each for each in script.split("\n") if each.startswith("row = "))
    found: dict[str, object] = {}
    exec(f"import json\n{line}", found)
    assert found["row"] == {name: words[0]}


def test_libraries_are_locked_with_what_they_need() -> None:
    numpy = version_of("numpy") or ""
    found = closure({"python": "3.11", "scikit_learn": "1.0", "nowhere-to-be-found": "2.0"}, {"scipy": "0.1"})
    assert found["scikit-learn"] == "1.0"
    assert found["scipy"] == "0.1"  # as it was when the model was trained
    assert found["numpy"] == numpy
    assert found["nowhere-to-be-found"] == "2.0"
    assert "python" not in found
    assert list(found) == sorted(found)
    assert f"numpy=={numpy}\n" in pins(found).decode()
    told = {one.name: one for one in licences(found)}
    assert "BSD" in told["numpy"].licence
    assert told["numpy"].note == ""
    assert told["scikit-learn"].note.startswith("of version")
    assert told["nowhere-to-be-found"].note == "not installed here"


def test_names_have_one_form() -> None:
    assert [plain(name) for name in ("Scikit_Learn", "zope.interface", "a--b")] == [
        "scikit-learn", "zope-interface", "a-b",
    ]  # fmt: skip


def test_a_package_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    files = {"a.txt": b"a", "code/b.py": b"b"}
    write_package(tmp_path / "new" / "out", "x", files)
    assert (tmp_path / "new" / "out" / "code" / "b.py").read_bytes() == b"b"
    assert (tmp_path / "new" / "out" / "SHA256SUMS").read_bytes() == checksums(files)
    bad = {"a.txt": b"a", "a.txt/b": b"cannot lie below a file"}
    with pytest.raises(PermanentError, match="cannot be written"):
        write_package(tmp_path / "bad", "x", bad)
    assert not (tmp_path / "bad").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["new"]
    (tmp_path / "empty").mkdir()
    write_package(tmp_path / "empty", "x", files)
    with pytest.raises(PermanentError, match="is there already"):
        write_package(tmp_path / "empty", "x", files)
