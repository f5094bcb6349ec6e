"""The training of tracking.py written by W&B, offline: run by it in an environment of its own."""

from __future__ import annotations

import json
import os
import sys
import time

folder, files, steps = sys.argv[1], sys.argv[2], int(sys.argv[3])
os.environ.update(WANDB_SILENT="true", WANDB_MODE="offline", WANDB_ERROR_REPORTING="false", HOME=folder)
import wandb  # noqa: E402

settings = wandb.Settings(silent=True, console="off", disable_git=True, x_disable_stats=True, save_code=False)
begin = time.perf_counter()
params = {f"p{i}": i * 0.5 for i in range(100)}
run = wandb.init(project="p", mode="offline", dir=folder, config=params, settings=settings)
for step in range(steps):
    run.log({f"m{i}": step * 0.1 for i in range(10)}, step=step)
artifact = wandb.Artifact("a", type="data")
artifact.add_dir(files)
run.log_artifact(artifact)
run.finish()
print(json.dumps({"log": time.perf_counter() - begin}))
