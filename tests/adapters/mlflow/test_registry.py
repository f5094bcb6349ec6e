"""Releases in MLflow's registry: versions, aliases, and a model that MLflow's own client loads and asks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from onnx import TensorProto, helper
from tests.adapters.mlflow.server import Mlflow

from trimtab.adapters.mlflow.experiments import open_tracker
from trimtab.experiments.port import Told
from trimtab.experiments.spec import TrackerSpec
from trimtab.records.model import Feature, ModelIdentity, Signature
from trimtab.records.requirement import Estimate
from trimtab.testing.trackers import Written, example

pytestmark = pytest.mark.component

_LOOK = """
import json, sys, mlflow, numpy as np
from mlflow import MlflowClient
client, name = MlflowClient(), sys.argv[1]
model = client.get_registered_model(name)
version = client.get_model_version_by_alias(name, "champion")
run = client.get_run(version.run_id)
uri = f"models:/{name}@champion"
rows = np.array([[1, 2], [3, 4]], dtype="float32")
loaded = mlflow.pyfunc.load_model(uri)
info = mlflow.models.get_model_info(uri)
graph = mlflow.onnx.load_model(uri)
print(json.dumps({
    "aliases": model.aliases,
    "tags": version.tags,
    "status": run.info.status,
    "metrics": run.data.metrics,
    "datasets": [[one.dataset.name, one.dataset.digest] for one in run.inputs.dataset_inputs],
    "predicted": loaded.predict({"input": rows})["scores"].tolist(),
    "signature": [str(info.signature.inputs), str(info.signature.outputs)],
    "metadata": info.metadata,
    "nodes": len(graph.graph.node),
    "history": len(client.get_metric_history(run.info.run_id, "loss")),
}))
"""


def doubling() -> bytes:
    """A model of two features that answers with twice of each."""
    graph = helper.make_graph(
        [helper.make_node("Add", ["input", "input"], ["scores"])],
        "doubling",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [None, 2])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [None, 2])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return bytes(model.SerializeToString())


def trained(folder: Path, system: str, name: str) -> tuple[Told, Written]:
    """A training that came to a model."""
    told, contents = example(folder, name)
    signature = Signature(
        task="binary_classification",
        inputs=(),
        features=(Feature(name="distance", kind="number"), Feature(name="hour", kind="number")),
        classes=("on time", "late"),
    )
    told = msgspec.structs.replace(
        told,
        system=system,
        identity=ModelIdentity(id=name, code="c" * 64, params="p" * 64, data="d" * 64),
        signature=signature,
        measured={"quality.roc_auc": Estimate(figure=0.8125, low=0.8, high=0.825, rows=100)},
        slices={"quality.recall|carrier=AA (née A&B)": Estimate(figure=0.5, rows=30)},
    )
    return told, Written(folder, contents.curves(), {}, doubling())


def names(mlflow: Mlflow, system: str) -> dict[str, str]:
    """Which training each alias stands for."""
    found = mlflow.rows(
        "select alias, value from registered_model_aliases a join model_version_tags t "
        "on a.name = t.name and a.version = t.version where a.name = ? and key = 'trimtab.training'",
        system,
    )
    return dict(found)


def test_releases_stand_in_the_registry_and_are_loaded_by_its_own_client(mlflow: Mlflow, tmp_path: Path) -> None:
    system = "released"
    tracker = open_tracker(TrackerSpec(tool="mlflow", place=mlflow.url), tmp_path)
    first, second = "a" * 16, "b" * 16
    for name in (first, second):
        tracker.write(*trained(tmp_path / name, system, name))
    standing: Any = {"r-001": ("live", first), "r-002": ("canary", second)}
    for _ in range(2):  # again is harmless
        tracker.stand(system, standing)
    assert names(mlflow, system) == {"champion": first, "live": first, "challenger": second, "canary": second}

    told = mlflow.client(_LOOK, system)
    assert told["tags"] == {"trimtab.training": first, "trimtab.release": "r-001", "trimtab.stage": "live"}
    assert told["status"] == "FINISHED"
    assert told["predicted"] == [[2.0, 4.0], [6.0, 8.0]]
    assert told["nodes"] == 1
    assert told["history"] == 50
    assert told["datasets"] == [["flights", "d" * 16]]
    assert "float32" in told["signature"][0]
    assert told["metadata"]["trimtab"]["features"] == ["distance", "hour"]
    measured = {name: figure for name, figure in told["metrics"].items() if name.startswith("quality.r")}
    (part,) = (name for name in measured if name.startswith("quality.recall"))
    assert part.startswith("quality.recall/carrier:AA _n_e A_B_ ")
    assert measured == {
        "quality.roc_auc": 0.8125, "quality.roc_auc/low": 0.8, "quality.roc_auc/high": 0.825, part: 0.5,
    }  # fmt: skip

    tracker.stand(system, {"r-001": ("retired", first), "r-002": ("live", second)})
    assert names(mlflow, system) == {"champion": second, "live": second}
    stages = mlflow.rows(
        "select version, value from model_version_tags where name = ? and key = 'trimtab.stage' order by version",
        system,
    )
    assert stages == [(1, "retired"), (2, "live")]
    tracker.stand(system, {"r-002": ("rolled_back", second), "r-003": ("live", first)})
    assert names(mlflow, system) == {"champion": first, "live": first}
    assert mlflow.rows("select count(*) from model_versions where name = ?", system) == [(2,)]
    tracker.close()


def test_a_release_whose_training_was_never_written_is_passed_over(mlflow: Mlflow, tmp_path: Path) -> None:
    tracker = open_tracker(TrackerSpec(tool="mlflow", place=mlflow.url), tmp_path)
    tracker.stand("unwritten", {"r-001": ("live", "f" * 16)})
    assert names(mlflow, "unwritten") == {}
    tracker.close()
