"""The step as a task of Prefect, kept by its inputs and its source, as its documentation shows."""

import json
import sys
from datetime import timedelta
from pathlib import Path

from prefect import flow, task
from prefect.cache_policies import INPUTS, TASK_SOURCE

folder = Path(sys.argv[1])
import model  # noqa: E402 - of that folder, which is on the path

ran = []


def told(x, y, factor):
    ran.append(True)
    return model.fit(x, y, factor)


step = task(told, cache_policy=INPUTS + TASK_SOURCE, cache_expiration=timedelta(hours=1), persist_result=True)


@flow
def whole(x, y, factor):
    return step(x, y, factor)


data = json.loads((folder / "data.json").read_text())
params = json.loads((folder / "params.json").read_text())
whole(**data, **params)
print("ran" if ran else "kept")
