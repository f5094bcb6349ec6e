"""The step as a node of Hamilton, with its cache turned on."""

import json
import sys
from pathlib import Path

from hamilton import driver

folder = Path(sys.argv[1])
import model  # noqa: E402, F401 - of that folder, which is on the path

(folder / "nodes.py").write_text(
    "import model\n\n\ndef fitted(x: list, y: list, factor: float) -> float:\n    return model.fit(x, y, factor)\n"
)
import nodes  # noqa: E402

data = json.loads((folder / "data.json").read_text())
params = json.loads((folder / "params.json").read_text())
flow = driver.Builder().with_modules(nodes).with_cache(path=str(folder.parent / "kept")).build()
flow.execute(["fitted"], inputs={**data, **params})
events = flow.cache.logs(level="info", run_id=flow.cache.last_run_id)
print("ran" if any(event.event_type.value == "execute_node" for event in events["fitted"]) else "kept")
