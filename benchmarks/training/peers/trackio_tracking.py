"""The training of tracking.py written by trackio: run by it in an environment of its own."""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
import time
from pathlib import Path

folder, files, steps = sys.argv[1], sys.argv[2], int(sys.argv[3])
os.environ["TRACKIO_DIR"] = f"{folder}/trackio"
import trackio  # noqa: E402

with contextlib.redirect_stdout(io.StringIO()):
    begin = time.perf_counter()
    trackio.init("p", config={f"p{i}": i * 0.5 for i in range(100)}, embed=False)
    for step in range(steps):
        trackio.log({f"m{i}": step * 0.1 for i in range(10)}, step=step)
    for file in Path(files).iterdir():
        trackio.log_artifact(str(file), name=file.stem, type="data")
    trackio.finish()
    told = time.perf_counter() - begin
print(json.dumps({"log": told}))
