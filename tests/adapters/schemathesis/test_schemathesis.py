"""The server does what its /openapi.json says, held by Schemathesis: no fault of ours, no status and no answer that the
document does not have, nothing taken that it forbids, no address open that asks for a token."""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path

import numpy as np
import orjson
import pytest
from tests.serving import models, pictures
from tests.serving.running import Running

from trimtab.records.model import Column, Feature, ModelBundle
from trimtab.records.server import ServerConfig

pytestmark = pytest.mark.component
ROOT = Path(__file__).parents[3]
PROGRAM = ROOT / "build" / "components" / "schemathesis" / "bin" / "st"
SETTINGS = Path(__file__).with_name("schemathesis.toml")
TOKEN = "sesame"
INPUTS = (
    Column(name="distance", kind="number"),
    Column(name="carrier", kind="category"),
    Column(name="holiday", kind="boolean"),
)
FEATURES = (
    Feature(name="distance", kind="number"),
    Feature(name="carrier", kind="category", vocabulary=models.CARRIERS),
    Feature(name="holiday", kind="category", vocabulary=("false", "true")),
)


def trees(server: Running) -> ModelBundle:
    """A model that has an answer for every number there is."""
    from lightgbm import LGBMClassifier

    from trimtab.training.export.export import export

    drawn = np.random.default_rng(7).normal(size=(200, 3)).astype(np.float32)
    fitted = LGBMClassifier(n_estimators=5, n_jobs=1, verbose=-1).fit(drawn, drawn[:, 0] > 0)
    signature = models.signature("binary_classification", INPUTS, FEATURES)
    return models.bundle(server.blobs, export(fitted, signature), signature)


def colours(server: Running) -> ModelBundle:
    return pictures.colours(server.blobs)


@pytest.mark.parametrize(("make", "token"), [(trees, TOKEN), (colours, "")], ids=["columns, tokens", "pictures"])
def test_the_server_does_what_it_says(tmp_path: Path, make: object, token: str) -> None:
    if not PROGRAM.exists():
        say = "schemathesis is not there: run tools/component schemathesis"
        if os.environ.get("CI"):
            pytest.fail(say)
        pytest.skip(say)
    bearer = {"authorization": f"Bearer {token}"} if token else {}
    digest = hashlib.sha256(token.encode()).hexdigest() if token else ""
    server = Running(tmp_path, ServerConfig(system=models.SYSTEM, port=0, token_digest=digest), token or None).start()
    try:
        server.route(models.route("r1", make(server)))  # type: ignore[operator]
        settings = tmp_path / "schemathesis.toml"
        settings.write_text(
            SETTINGS.read_text("utf-8") + (f'\n[auth.openapi.token]\nbearer = "{token}"\n' if token else "")
        )
        (tmp_path / "openapi.json").write_bytes(orjson.dumps(server.ask("GET", "/openapi.json", headers=bearer)[1]))
        command = [
            str(PROGRAM), "--config-file", str(settings), "run", "openapi.json", "--url", server.url,
            "--checks", "all", "--max-examples", "40", "--seed", "1", "--continue-on-failure",
            # what no schema can say may be refused all the same, by name: moments in the future, values for a shape
            "--exclude-checks", "positive_data_acceptance", "--no-color", "--warnings", "off",
        ]  # fmt: skip
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=500, check=False)
        told = "\n".join(line[:300] for line in done.stdout.splitlines() if line.strip())
        assert done.returncode == 0, told
        assert server.ask("GET", "/v2/health/ready")[0] == 200
    finally:
        server.local.stop()
