"""A declaration as a user would write it, in a folder with the files it names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from trimtab.declaration.load import load
from trimtab.declaration.system import System

DECLARATION = """\
[system]
name    = "flight-delays"
problem = "Two hours before departure, warn passengers when the flight will land more than 15 minutes late"
task    = "binary_classification"

[value]
currency = "USD"
true_positive = 8.0
false_positive = -3.0
per_prediction = -0.0002
per_training_minute = -0.05

[requirements]
"quality.roc_auc"      = ">= 0.66"
"quality.recall"       = { limit = ">= 0.55", by = "carrier", min_rows = 300, window = "14 d" }
"serving.latency_p95"  = "<= 15 ms"
"serving.throughput"   = ">= 500 /s"
"resources.memory"     = "<= 600 MiB"
"resources.train_time" = "<= 5 min"
"data.completeness"    = { limit = ">= 98%", columns = ["carrier", "dest"] }
"data.freshness"       = "<= 2 d"
"value.per_1000"       = ">= 20 USD"

[[data]]
name = "flights"
source = "python:sources:flights"
key = "flight_id"
time = "scheduled_departure"
label = "late"
label_delay = "16 h"
predict_before = "2 h"
valid = { distance = "0 .. 6000", origin = ["EWR", "JFK", "LGA"], dest = "/^[A-Z]{3}$/" }
consistent = ["scheduled_departure < scheduled_arrival"]

[[data]]
name = "weather"
source = "python:sources:weather"
key = ["origin", "hour"]
time = "hour"

[[features]]
view = "weather"
source = "weather"
entity = "origin"
time = "hour"
ttl = "3 h"

[model]
code = "model.py"
params = { learning_rate = 0.1, max_leaf_nodes = 31 }
window = "all"
holdout = "14 d"

[policy]
retrain_on = ["concept_drift", "requirement_broken", "new_rows:50%"]
window = "7 d"
release = ["shadow:500", "canary:10%:500", "live"]
cooldown = "14 d"

[serve]
port = 8080

[replay]
start = 2013-03-01T05:00:00Z
end = 2014-01-01T05:00:00Z
step = "1 d"
incidents = [{ at = 2013-06-01T05:00:00Z, code = "broken_model.py" }]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the Python files that DECLARATION names, and no declaration yet."""
    for name in ("model.py", "sources.py", "broken_model.py"):
        (tmp_path / name).write_text("")
    return tmp_path


@pytest.fixture
def text() -> str:
    return DECLARATION


Loader = Callable[..., System]


@pytest.fixture
def loading(folder: Path) -> Loader:
    """Loads DECLARATION after replacing each (old, new) pair given; every old text must be there."""

    def load_changed(*changes: tuple[str, str]) -> System:
        changed = DECLARATION
        for old, new in changes:
            assert old in changed, old
            changed = changed.replace(old, new)
        (folder / "trimtab.toml").write_text(changed)
        return load(folder)

    return load_changed
