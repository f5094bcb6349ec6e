"""A short walk of the coverage-guided fuzzer over each target; `make fuzz` takes long ones."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.component
ROOT = Path(__file__).parents[3]
HOME = ROOT / "build" / "components" / "atheris"


@pytest.fixture(scope="session")
def environment() -> dict[str, str]:
    """Our own interpreter and packages, and atheris beside them."""
    found = sorted(HOME.glob("lib/python*/site-packages/atheris"))
    if not found:
        say = "atheris is not there: run tools/component atheris"
        if os.environ.get("CI"):
            pytest.fail(say)
        pytest.skip(say)
    return os.environ | {"PYTHONPATH": str(found[0].parent)}


@pytest.mark.parametrize("target", ["http", "columns", "pictures"])
def test_nothing_is_found_on_a_short_walk(environment: dict[str, str], target: str, tmp_path: Path) -> None:
    words = [sys.executable, "-m", "tests.fuzz", target, "--seconds", "15", "--folder", str(tmp_path), "--seed", "1"]
    ran = subprocess.run(words, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    said = ran.stdout + ran.stderr
    assert ran.returncode == 0, said[-4000:]
    done = re.search(r"stat::number_of_executed_units: (\d+)", said)
    assert done is not None, said[-2000:]
    assert int(done[1]) > 1000
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(("crash", "timeout", "oom", "slow"))]
