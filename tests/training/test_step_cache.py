"""The edits of the benchmark of step caches: each that counts makes another model, and no other does."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from trimtab.training.identity import code_digest, data_digest, model_identity

PLACE = Path(__file__).resolve().parents[2] / "benchmarks" / "training" / "edits.py"


def _edits() -> ModuleType:
    spec = importlib.util.spec_from_file_location("benchmark_edits", PLACE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["benchmark_edits"] = module  # its dataclasses look for it there
    spec.loader.exec_module(module)
    return module


edits = _edits()


def _identity(project: Path) -> str:
    code = code_digest(project / "model.py", project, ("fit",))
    assert edits.SHADE in code.libraries, "the package is not seen as a library"
    params = json.loads((project / "params.json").read_text())
    return model_identity(code.digest, params, data_digest({"rows": (project / "data.json").read_text()}, {})).id


@pytest.mark.parametrize("edit", edits.EDITS, ids=lambda edit: edit.name)
def test_an_edit_makes_another_model_exactly_when_it_counts(
    edit: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = tmp_path / "project"
    edits.write(project)
    monkeypatch.syspath_prepend(project / "site")
    before = _identity(project)
    edit.make(project)
    assert (_identity(project) != before) == edit.counts
