"""The training of tracking.py written to MLflow on SQLite with `log_batch`: run by it in an environment of its own."""

from __future__ import annotations

import json
import logging
import os
import random
import sys
import time

folder, files, steps, count = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
os.environ.update(MLFLOW_DISABLE_TELEMETRY="true", DO_NOT_TRACK="1")
import mlflow  # noqa: E402
from mlflow.entities import Metric, Param  # noqa: E402
from mlflow.tracking import MlflowClient  # noqa: E402

logging.disable(logging.CRITICAL)
mlflow.set_tracking_uri(f"sqlite:///{folder}/mlflow.db")
client = MlflowClient()
experiment = client.create_experiment("e", artifact_location=f"file://{folder}/artifacts")
begin = time.perf_counter()
run = client.create_run(experiment).info.run_id
client.log_batch(run, params=[Param(f"p{i}", str(i * 0.5)) for i in range(100)])
points = [Metric(f"m{i}", s * 0.1, 1_700_000_000_000 + s, s) for s in range(steps) for i in range(10)]
for at in range(0, len(points), 1000):
    client.log_batch(run, metrics=points[at : at + 1000])
client.log_artifacts(run, files)
client.set_terminated(run)
told = {"log": time.perf_counter() - begin}
draw = random.Random(0)
for _ in range(count):
    tiny = client.create_run(experiment).info.run_id
    client.log_batch(tiny, metrics=[Metric("auc", draw.random(), 1, 0), Metric("loss", draw.random(), 1, 0)])
    client.set_terminated(tiny)
asked = []
for _ in range(5):
    begin = time.perf_counter()
    client.search_runs([experiment], order_by=["metrics.auc DESC"], max_results=1)
    asked.append(time.perf_counter() - begin)
print(json.dumps(told | {"best": sorted(asked)[2]}))
