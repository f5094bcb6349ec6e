"""The training of tracking.py written by Comet, offline: run by it in an environment of its own."""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from pathlib import Path

folder, files, steps = sys.argv[1], sys.argv[2], int(sys.argv[3])
os.environ["HOME"] = folder
import comet_ml  # noqa: E402

logging.getLogger("comet_ml").setLevel(logging.CRITICAL)
quiet = dict.fromkeys(
    (
        "log_code", "log_graph", "auto_param_logging", "auto_metric_logging", "parse_args", "auto_output_logging",
        "log_env_details", "log_git_metadata",
    ),
    False,
)  # fmt: skip
begin = time.perf_counter()
experiment = comet_ml.OfflineExperiment(project_name="p", offline_directory=folder, display_summary_level=0, **quiet)
experiment.log_parameters({f"p{i}": i * 0.5 for i in range(100)})
for step in range(steps):
    experiment.log_metrics({f"m{i}": step * 0.1 for i in range(10)}, step=step)
for file in Path(files).iterdir():
    experiment.log_asset(str(file))
experiment.end()
print(json.dumps({"log": time.perf_counter() - begin}))
