"""The Python on the page about versions runs as it stands there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "versions.md"


def test_the_python_of_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"^```python\n(.*?)^```", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    exec(compile(code, str(PAGE), "exec"), {})
    assert (tmp_path / "state" / "data" / "trips" / "rows.lance").is_dir()


def test_every_action_of_the_page_is_one() -> None:
    from trimtab.cli import data

    actions = set(re.findall(r"^trimtab data (\w+)", PAGE.read_text("utf-8"), re.MULTILINE))
    assert {"tag", "branch", "merge", "collect", "checkout", "export", "gc", "verify", "diff"} <= actions
    assert actions <= set(data._ACTIONS)
