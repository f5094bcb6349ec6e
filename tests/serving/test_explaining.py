"""Answers that are explained: what each feature contributed, over every protocol, in time, at nobody else's cost."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from urllib.parse import urlsplit

import lightgbm
import msgspec
import numpy as np
import orjson
import pytest
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from tests.serving import models
from tests.serving.conftest import Make
from tests.serving.grpc.calls import Caller, columns
from tests.serving.running import Running

from trimtab.inference.explain.kept import encode_explainer
from trimtab.inference.model import Model
from trimtab.records.blobs import Blobs
from trimtab.records.metric import Task
from trimtab.records.model import Feature, ModelBundle, Signature
from trimtab.records.server import ServerConfig
from trimtab.serving.execution import explaining
from trimtab.serving.execution.questions import Answers, Explained, Question
from trimtab.serving.routing.releases import Fleet, load_fleet
from trimtab.training.export.explainer import explainer_of
from trimtab.training.export.export import export

ROWS = [
    {"distance": 100.0, "carrier": "AA"},
    {"distance": 2500.0, "carrier": "UA"},
    {"distance": None, "carrier": "ZZ"},
]
CODES = np.array([[100.0, 0], [2500.0, 2], [np.nan, -1]], np.float32)
CLASSES = {"binary_classification": ("on time", "late"), "multiclass_classification": ("a", "b", "c"), "regression": ()}


@cache
def flights() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    x = np.stack([rng.uniform(0, 3000, 2000), rng.integers(-1, 3, 2000)], axis=1).astype(np.float32)
    x[rng.random(2000) < 0.05, 0] = np.nan
    return x, np.nan_to_num(x[:, 0]) / 1000 + (x[:, 1] == 2) + rng.normal(0, 0.5, 2000)


@cache
def trees(task: Task) -> Any:
    x, y = flights()
    settings = {"n_estimators": 20, "n_jobs": 1, "verbose": -1}
    if task == "regression":
        return lightgbm.LGBMRegressor(**settings).fit(x, y)
    cut = [2.0] if task == "binary_classification" else [1.0, 2.0]
    return lightgbm.LGBMClassifier(**settings).fit(x, np.digitize(y, cut))


def explained(blobs: Blobs, model: Any, sig: Signature, code: str | None = None) -> ModelBundle:
    """A bundle as training keeps it."""
    x, _ = flights()
    graph = export(model, sig)
    kept = explainer_of(model, Model.load(graph, sig), x, x)
    made = models.bundle(blobs, graph, sig, code)
    return msgspec.structs.replace(made, explainer=blobs.put(encode_explainer(kept)))


def of_task(blobs: Blobs, task: Task = "binary_classification") -> ModelBundle:
    return explained(blobs, trees(task), models.signature(task=task, classes=CLASSES[task]))


def linear(blobs: Blobs) -> ModelBundle:
    x, y = flights()
    return explained(
        blobs, make_pipeline(SimpleImputer(), LogisticRegression(max_iter=5000)).fit(x, y > 2), models.signature()
    )


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    config = ServerConfig(system=models.SYSTEM, port=0, grpc_port=0, explain_time=5.0)
    made = Running(tmp_path_factory.mktemp("explaining"), config)
    made.start()
    made.route(models.route("r1", of_task(made.blobs)))
    yield made
    made.local.stop()


def test_plain_rows_are_explained(server: Running) -> None:
    theirs = trees("binary_classification").predict(CODES, pred_contrib=True)
    status, told = server.ask("POST", "/predict?explain=true", ROWS)
    assert (status, told["unexplained"]) == (200, [])
    for answer, wanted in zip(told["predictions"], theirs, strict=True):
        why = answer["explanation"]
        assert (why["method"], why["unit"]) == ("tree_shap", "log-odds")
        assert list(why["contributions"]) == ["distance", "carrier"]
        assert list(why["contributions"].values()) == pytest.approx(wanted[:2].tolist(), abs=1e-9)
        assert why["base_value"] == pytest.approx(wanted[2], abs=1e-9)
        total = why["base_value"] + sum(why["contributions"].values())
        assert answer["score"] == pytest.approx(1 / (1 + np.exp(-total)), abs=1e-5)
    assert server.ask("POST", "/predict", {"rows": ROWS, "explain": True})[1]["unexplained"] == []
    without = server.ask("POST", "/predict?explain=false", ROWS)[1]
    assert without.keys() == {"predictions"}
    assert "explanation" not in without["predictions"][0]


def tensors() -> list[dict[str, Any]]:
    return [
        {"name": "distance", "datatype": "FP64", "shape": [3], "data": [100.0, 2500.0, None]},
        {"name": "carrier", "datatype": "BYTES", "shape": [3], "data": ["AA", "UA", "ZZ"]},
    ]


@pytest.mark.parametrize("way", ["parameter", "address", "encoded", "chosen", "binary"])
def test_the_open_inference_protocol_explains_in_outputs(server: Running, way: str) -> None:
    asked: dict[str, Any] = {"inputs": tensors(), "parameters": {"explain": True}}
    if way == "address":
        asked = {"inputs": tensors()}
    if way == "encoded":
        data = [100.0, 0, 2500.0, 2, None, -1]
        asked["inputs"] = [{"name": "input", "datatype": "FP32", "shape": [3, 2], "data": data}]
    if way == "chosen":
        asked |= {"id": "q", "outputs": [{"name": "score"}]}
    if way == "binary":
        asked["outputs"] = [{"name": "score", "parameters": {"binary_data": True}}]
    path = f"/v2/models/flights/infer{'?explain=true' if way == 'address' else ''}"
    told = answer_of(server, path, asked)
    outputs = {one["name"]: one for one in told["outputs"]}
    assert set(outputs) >= {"score", "contributions", "base_value", "feature"}
    assert ("label" in outputs) == (way not in ("chosen", "binary"))
    assert outputs["feature"]["data"] == ["distance", "carrier"]
    assert outputs["contributions"]["shape"] == [3, 2]
    theirs = trees("binary_classification").predict(CODES, pred_contrib=True)
    assert outputs["contributions"]["data"] == pytest.approx(theirs[:, :2].ravel().tolist(), abs=1e-9)
    assert outputs["base_value"]["data"] == pytest.approx(theirs[:, 2].tolist(), abs=1e-9)
    parameters = told["parameters"]
    assert parameters["explanation_method"] == "tree_shap"
    assert parameters["explanation_unit"] == "log-odds"
    assert parameters["unexplained_rows"] == []


@pytest.mark.parametrize("raw", [True, False])
def test_grpc_explains_in_outputs_too(server: Running, raw: bool) -> None:
    with Caller(server.grpc) as call:
        rows = columns([100.0, 2500.0, float("nan")], ["AA", "UA", "ZZ"], raw=raw)
        told = call("ModelInfer", call.request("flights", *rows, raw=raw, parameters={"explain": True}))
    theirs = trees("binary_classification").predict(CODES, pred_contrib=True)
    place = [one.name for one in told.outputs].index("contributions")
    assert list(told.outputs[place].shape) == [3, 2]
    found = told.outputs[place].contents.fp64_contents
    if raw:
        found = np.frombuffer(told.raw_output_contents[place], "<f8")
    assert list(found) == pytest.approx(theirs[:, :2].ravel().tolist(), abs=1e-9)
    assert told.parameters["explanation_method"].string_param == "tree_shap"
    assert told.parameters["unexplained_rows"].string_param == "[]"


def answer_of(server: Running, path: str, asked: dict[str, Any]) -> dict[str, Any]:
    """The JSON of an answer, whether bytes follow it or not."""
    status, body, length = sent(server, "POST", path, asked)
    assert status == 200, body
    told: dict[str, Any] = orjson.loads(body[:length])
    return told


def test_several_classes_have_contributions_each(make: Make) -> None:
    server = make(explain_time=5.0)
    server.route(models.route("r1", of_task(server.blobs, "multiclass_classification")))
    theirs = trees("multiclass_classification").predict(CODES, pred_contrib=True).reshape(3, 3, 3)
    answers = server.ask("POST", "/predict?explain=true", ROWS)[1]["predictions"]
    for answer, wanted in zip(answers, theirs, strict=True):
        why = answer["explanation"]
        assert why["unit"] == "margin before softmax"
        assert list(why["base_value"].values()) == pytest.approx(wanted[:, 2].tolist(), abs=1e-9)
        assert list(why["contributions"]) == ["a", "b", "c"]
        assert list(why["contributions"]["c"].values()) == pytest.approx(wanted[2, :2].tolist(), abs=1e-9)
    told = answer_of(server, "/v2/models/flights/infer?explain", {"inputs": tensors()})
    outputs = {one["name"]: one for one in told["outputs"]}
    assert (outputs["contributions"]["shape"], outputs["base_value"]["shape"]) == ([3, 3, 2], [3, 3])
    assert outputs["explained_class"]["data"] == ["a", "b", "c"]
    assert outputs["contributions"]["data"] == pytest.approx(theirs[:, :, :2].ravel().tolist(), abs=1e-9)


DERIVED = """
import polars as pl
def features(rows):
    code = pl.col("carrier").replace_strict({"AA": 0.0, "DL": 1.0, "UA": 2.0}, default=-1.0, return_dtype=pl.Float64)
    return rows.select(pl.col("distance").alias("kilometres"), code.alias("carrier_code"))
"""


def test_derived_features_are_named(make: Make) -> None:
    server = make(explain_time=5.0)
    features = (Feature(name="kilometres", kind="number"), Feature(name="carrier_code", kind="number"))
    described = models.signature("regression", models.INPUTS, features, ())
    made = explained(server.blobs, trees("regression"), described, DERIVED)
    server.route(models.route("r1", made))
    status, told = server.ask("POST", "/predict?explain=true", ROWS)
    assert (status, told["unexplained"]) == (200, []), told
    theirs = trees("regression").predict(CODES, pred_contrib=True)
    why = told["predictions"][1]["explanation"]
    assert why["unit"] == "prediction"
    assert why["contributions"] == pytest.approx({"kilometres": theirs[1, 0], "carrier_code": theirs[1, 1]}, abs=1e-9)


def test_releases_that_answer_side_by_side(make: Make) -> None:
    """Trees, a linear canary, and a canary that keeps nothing to explain by."""
    server = make(explain_time=5.0)
    bare = models.bundle(server.blobs, models.sigmoid([0.001, 0.5]))
    server.route(
        models.route("trees", of_task(server.blobs)),
        models.route("linear", linear(server.blobs), "canary", 0.4),
        models.route("bare", bare, "canary", 0.3),
    )
    rows = [{"distance": float(n), "carrier": "AA"} for n in range(60)]
    status, told = server.ask("POST", "/predict?explain=true", rows)
    assert status == 200
    methods = {"trees": "tree_shap", "linear": "occlusion", "bare": None}
    assert {one["release"] for one in told["predictions"]} == set(methods)
    for place, one in enumerate(told["predictions"]):
        why = one["explanation"]
        assert (None if why is None else why["method"]) == methods[one["release"]]
        assert (place in told["unexplained"]) == (why is None)
    columns = [("distance", "FP64", [row["distance"] for row in rows]), ("carrier", "BYTES", ["AA"] * 60)]
    inputs = [{"name": name, "datatype": kind, "shape": [60], "data": data} for name, kind, data in columns]
    told = answer_of(server, "/v2/models/flights/infer?explain=1", {"inputs": inputs})
    releases = told["parameters"]["releases"]
    outputs = {one["name"]: one["data"] for one in told["outputs"]}
    left = told["parameters"]["unexplained_rows"]
    explains = {"tree_shap": "trees", "occlusion": "linear"}[told["parameters"]["explanation_method"]]
    assert left == [place for place, release in enumerate(releases) if release != explains]
    assert [place for place in range(60) if outputs["base_value"][place] is None] == left
    pinned = server.ask("POST", "/v2/models/flights/versions/bare/infer?explain=true", {"inputs": inputs})
    assert pinned[0] == 422
    assert "release bare cannot be explained" in pinned[1]["error"]


def test_what_cannot_be_explained_is_refused_before_it_is_answered(make: Make) -> None:
    server = make(explain_time=1e-6)
    server.route(models.route("r1", of_task(server.blobs)))
    for path, body in (
        ("/predict?explain=true", ROWS),
        ("/v2/models/flights/infer", {"inputs": tensors(), "parameters": {"explain": True}}),
    ):
        status, told = server.ask("POST", path, body)
        assert status == 422
        assert "explaining one row takes release r1" in told["error"]
        assert "explain_time" in told["hint"]
    assert server.status().releases[0].answered == 0
    for path, body, words in (
        ("/predict?explain=perhaps", ROWS, "`explain` in the address: expected true or false"),
        ("/predict?explian=true", ROWS, "unknown option 'explian' in the address"),
        ("/predict?sticky_key=a", ROWS, "`sticky_key` in the address is not read"),
        ("/predict", {"rows": ROWS, "explain": "yes"}, "explain: expected true or false"),
        ("/v2/models/flights/infer", {"inputs": tensors(), "parameters": {"explain": 1}}, "parameters.explain"),
    ):
        status, told = server.ask("POST", path, body)
        assert status == 422
        assert words in told["error"]
    assert server.ask("POST", "/predict?trace=7&_=1", ROWS)[0] == 200


def test_rows_that_there_was_no_time_for_are_named(make: Make) -> None:
    server = make(explain_time=0.02, max_rows=50_000)
    server.route(models.route("r1", of_task(server.blobs)))
    rows = ROWS * 10_000
    status, told = server.ask("POST", "/predict?explain=true", rows)
    assert status == 200
    left = told["unexplained"]
    assert left == list(range(left[0], len(rows)))
    assert left[0] >= 1
    assert [one["explanation"] is None for one in told["predictions"]] == [False] * left[0] + [True] * len(left)
    text = metrics(server)
    assert f'trimtab_explained_rows_total{{outcome="explained"}} {left[0]}' in text
    assert f'trimtab_explained_rows_total{{outcome="left"}} {len(left)}' in text


def test_a_caller_whose_time_is_up_gets_no_more_rows_explained(tmp_path: Path) -> None:
    blobs = Blobs(tmp_path)
    fleet = load_fleet(models.routes(1, models.route("r1", of_task(blobs))), blobs, Fleet(-1, ()))
    assert fleet.live is not None
    caller: Any = SimpleNamespace(gone=False)
    question = Question(caller, fleet, fleet.live, lambda *_: b"", time.perf_counter())
    question.ask(ROWS * 80)
    count = question.count
    asked: Any = SimpleNamespace(question=question, gone=False, answers=Answers([], [], [fleet.live] * count))
    (told,) = cast("list[Explained]", explaining._explained(asked, 20.0))
    assert len(told.explanation.contributions) == count
    question.deadline = time.perf_counter()
    (told,) = cast("list[Explained]", explaining._explained(asked, 20.0))
    assert 0 < len(told.explanation.contributions) < count


def metrics(server: Running) -> str:
    return sent(server, "GET", "/metrics", None)[1].decode()


def sent(server: Running, method: str, path: str, asked: Any) -> tuple[int, bytes, int]:
    """Status, body, and how long its JSON part is where the answer says so."""
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=10)
    connection.request(method, path, None if asked is None else orjson.dumps(asked))
    response = connection.getresponse()
    body = response.read()
    connection.close()
    return response.status, body, int(response.headers.get("inference-header-content-length", len(body)))


def test_nobody_else_waits(make: Make) -> None:
    server = make(explain_time=1.5, max_rows=100_000)
    server.route(models.route("r1", of_task(server.blobs)))
    server.ask("POST", "/predict?explain=true", ROWS)
    took: list[float] = []

    def explain() -> None:
        began = time.perf_counter()
        assert server.ask("POST", "/predict?explain=true", ROWS * 30_000)[0] == 200
        took.append(time.perf_counter() - began)

    asking = threading.Thread(target=explain)
    asking.start()
    answered, slowest = 0, 0.0
    with server.client() as client:
        while not took:
            began = time.perf_counter()
            client.predict(ROWS[:1])
            slowest = max(slowest, time.perf_counter() - began)
            answered += 1
    asking.join()
    assert took[0] > 1.4, "the explanation was not long enough to be in anybody's way"
    assert answered > 50
    assert slowest < 0.9 * took[0]  # of two seconds and more where the machine is busy


def test_an_explained_answer_is_kept_once_and_asked_again_is_the_same(server: Running) -> None:
    body = {"rows": ROWS[:1], "ids": ["only-once"]}
    first = server.ask("POST", "/predict?explain=true", body)
    assert first[0] == 200
    assert server.ask("POST", "/predict?explain=true", body) == first
    assert server.ask("POST", "/predict", body)[1]["predictions"][0]["score"] == first[1]["predictions"][0]["score"]
    assert server.reader().predictions()["id"].to_list().count("only-once") == 1


def test_what_the_newest_truth_adds_to_an_answer_counts_to_its_base(make: Make) -> None:
    server = make()
    made = of_task(server.blobs)
    base = []
    for offset in (0.0, 0.7):
        server.route(models.route("r1", made), offset=offset)
        for answer in server.ask("POST", "/predict?explain=true", ROWS)[1]["predictions"]:
            why = answer["explanation"]
            total = why["base_value"] + sum(why["contributions"].values())
            assert answer["score"] == pytest.approx(1 / (1 + np.exp(-total)), abs=1e-5)
            base.append(why["base_value"])
    assert base[-1] - base[0] == pytest.approx(0.7)
