"""The step by joblib.Memory, the fit decorated as its documentation shows."""

import json
import sys
from pathlib import Path

from joblib import Memory

folder = Path(sys.argv[1])
import model  # noqa: E402 - of that folder, which is on the path

memory = Memory(folder.parent / "kept", verbose=0)
fit = memory.cache(model.fit)
data = json.loads((folder / "data.json").read_text())
params = json.loads((folder / "params.json").read_text())
kept = fit.check_call_in_cache(data["x"], data["y"], params["factor"])
fit(data["x"], data["y"], params["factor"])
print("kept" if kept else "ran")
