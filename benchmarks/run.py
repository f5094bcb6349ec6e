"""Runs every benchmark that README.md lists, one after the other: `make bench`.

A line of its table is `| `script.py arguments` | what it measures |`. Ends with 1 when a script failed, and says which.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
LISTED = re.compile(r"^\| `([\w/]+\.py[^`]*)` \|", re.MULTILINE)


def listed() -> list[list[str]]:
    """The commands of README.md, in order: script and arguments."""
    return [shlex.split(line) for line in LISTED.findall((HERE / "README.md").read_text("utf-8"))]


def main() -> int:
    failed = []
    for script, *arguments in listed():
        print(f"== {' '.join([script, *arguments])}", flush=True)
        began = time.monotonic()
        code = subprocess.run([sys.executable, str(HERE / script), *arguments], check=False).returncode
        print(f"   ended with {code} after {time.monotonic() - began:.0f} s\n", flush=True)
        if code:
            failed.append(script)
    if failed:
        print(f"failed: {', '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
