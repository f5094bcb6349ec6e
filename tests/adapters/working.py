"""What stands in for a vendor's package in the tests of `own_process`: it does what its job says."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from trimtab.adapters.own_process import CannotBeReached, Refused, answer


def main() -> None:
    """Do the job that comes in."""
    answer(_work)


def _work(job: dict[str, Any]) -> Any:
    sys.stdout.write("noise\n")
    subprocess.run(["echo", "more noise"], check=True)
    match job["do"]:
        case "answer":
            return {"given": job["given"], "variable": os.environ.get("FOR_THE_WORK", "")}
        case "refuse":
            raise Refused("not with me: " + os.environ.get("ITS_API_KEY", ""))
        case "miss":
            raise CannotBeReached("nobody is there")
        case "fall":
            raise ZeroDivisionError("division by zero")
        case "vanish":
            os._exit(3)
    child = subprocess.Popen(["sleep", "100"])  # a server of its own, as some packages start one
    Path(job["note"]).write_text(f"{os.getpid()} {child.pid}")
    time.sleep(100)
    return None
