"""Triton's own client asks why, and reads the reasons as outputs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.adapters.tritonclient.conftest import asking
from tests.serving import models
from tests.serving.running import Running
from tests.serving.test_explaining import CODES, of_task, trees

from trimtab.records.server import ServerConfig

pytestmark = pytest.mark.component


@pytest.mark.parametrize("over", ["http", "grpc"])
def test_explanations(over: str, tritonclient: Path, tmp_path: Path) -> None:
    server = Running(tmp_path, ServerConfig(system=models.SYSTEM, port=0, grpc_port=0, explain_time=5.0)).start()
    try:
        server.route(models.route("r1", of_task(server.blobs)))
        columns = [["distance", "FP64", [100.0, 2500.0]], ["carrier", "BYTES", ["AA", "UA"]]]
        given = {"do": "infer", "model": "flights", "tensors": columns, "parameters": {"explain": True}}
        for outputs in (None, [["score", True]], [["score", False]]):
            told = asking(server, tritonclient)(over, outputs=outputs, **given)["outputs"]
            theirs = trees("binary_classification").predict(CODES[:2], pred_contrib=True)
            assert told["feature"] == ["distance", "carrier"]
            assert np.array(told["contributions"]) == pytest.approx(theirs[:, :2], abs=1e-9)
            assert told["base_value"] == pytest.approx(theirs[:, 2].tolist(), abs=1e-9)
    finally:
        server.local.stop()
