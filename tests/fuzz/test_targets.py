"""The fuzzed targets stand what is known to be hard: in a process of their own, where they set up logging and servers
and leave them as they are."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ENDED = ["-W", "ignore::ResourceWarning", "-W", "ignore::pytest.PytestUnraisableExceptionWarning"]
"""A fuzzed server is left in the midst of what it does."""


def test_seeds_findings_and_chance_are_stood() -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *ENDED, "tests/fuzz/held.py"]
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
