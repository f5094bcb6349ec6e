"""Modules of every task and form exported, fits that stop early, go on and are refused: in PyTorch's environment."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from tests.adapters.torch.test_torch import environment

pytestmark = pytest.mark.component
CASES = Path(__file__).with_name("cases.py")
__all__ = ["environment"]


def test_every_case_holds(environment: dict[str, str], tmp_path: Path) -> None:
    words = [sys.executable, str(CASES), str(tmp_path)]
    ran = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=400, check=False)
    assert ran.returncode == 0, ran.stdout[-4000:] + ran.stderr[-4000:]
    assert ran.stdout.splitlines()[-1] == "all held"
