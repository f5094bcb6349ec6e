"""scikit-learn's tree ensembles, read from their fitted arrays; any other estimator goes through skl2onnx."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from trimtab.errors import PermanentError
from trimtab.inference.explain.kept import Link
from trimtab.training.export.ensemble import Ensemble, Tree
from trimtab.training.export.graph import ML_OPSET, OPSET, Graph

_FORESTS = {"RandomForestClassifier", "RandomForestRegressor", "ExtraTreesClassifier", "ExtraTreesRegressor"}
_TREES = {"DecisionTreeClassifier", "DecisionTreeRegressor", "ExtraTreeClassifier", "ExtraTreeRegressor"}
_LINKS: dict[str, Link] = {
    "IdentityLink": "identity",
    "LogLink": "exponential",
    "LogitLink": "logistic",
    "MultinomialLogit": "softmax",
}
_HISTOGRAM = {"HistGradientBoostingClassifier", "HistGradientBoostingRegressor"}


def scikit_ensemble(model: Any) -> Ensemble | None:
    """The ensemble of a fitted estimator of trees, None for any other. Raises PermanentError for one of trees that
    cannot be exported."""
    name = type(model).__name__
    if not type(model).__module__.startswith("sklearn."):
        return None
    if name in _HISTOGRAM:
        return _histogram(model)
    return _forest(model) if name in _FORESTS | _TREES else None


def library_graph(model: Any, source: str, features: int) -> Graph:
    """The graph of a fitted estimator or transformer by skl2onnx: P(positive) [n, 1], probabilities [n, K], or the
    number [n, 1]. Raises PermanentError for one that it does not know."""
    from skl2onnx import to_onnx  # here: 1 s of imports that tree models do without
    from skl2onnx.common.data_types import FloatTensorType

    classifier = hasattr(model, "predict_proba")
    try:
        made = to_onnx(
            model,
            initial_types=[(source, FloatTensorType([None, features]))],
            options={id(model): {"zipmap": False}} if classifier else None,
            target_opset={"": OPSET, "ai.onnx.ml": ML_OPSET},
        )
    except Exception as error:  # the converter's errors share no root
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        hint = "LightGBM, XGBoost, and the estimators that skl2onnx knows, can"
        if type(model).__name__ == "CalibratedClassifierCV":
            hint = "trimtab.calibrate(model, rows) puts the probabilities of any classifier right inside of its graph"
        raise PermanentError(f"{type(model).__name__} cannot be exported to ONNX: {first}", hint=hint) from error
    outputs = list(made.graph.output)
    wanted = outputs[1] if classifier else outputs[0]
    width = wanted.type.tensor_type.shape.dim[1].dim_value if len(wanted.type.tensor_type.shape.dim) > 1 else 1
    needed, kept = {wanted.name}, []
    for node in reversed(made.graph.node):
        if needed & set(node.output):
            kept.append(node)
            needed |= set(node.input)
    graph = Graph(
        input=source,
        output=wanted.name,
        width=width or 1,
        nodes=kept[::-1],
        constants=[tensor for tensor in made.graph.initializer if tensor.name in needed],
    )
    if classifier:
        classes = len(model.classes_)
        graph.width = classes
        if classes == 2:
            graph.add("Gather", [graph.output, graph.constant("positive", np.array([1]))], "chosen", axis=1)
            graph.width = 1
    return graph


def _histogram(model: Any) -> Ensemble:
    """HistGradientBoosting, after `_predict_one_from_raw_data` of scikit-learn 1.4 to 1.9."""
    base = np.asarray(model._baseline_prediction, dtype=np.float64).ravel()
    order, known, categories = _input_order(model)
    trees = [_histogram_tree(tree, order, known, categories) for stage in model._predictors for tree in stage]
    link = _LINKS.get(type(model._loss.link).__name__)
    if link is None:
        raise PermanentError(f"the loss {model.loss!r} of {type(model).__name__} cannot be exported")
    return Ensemble(trees=trees, base=base.tolist(), link=link)


def _input_order(model: Any) -> tuple[NDArray[np.int64], NDArray[np.bool_], dict[int, list[float]]]:
    """For each column that the trees see: its column in the matrix, whether it is categorical, and the matrix values
    that its codes stand for. With categories, an encoder inside the model puts those columns first."""
    count = model.n_features_in_
    preprocessor = getattr(model, "_preprocessor", None)
    if preprocessor is None:
        return np.arange(count), np.zeros(count, dtype=bool), {}
    flags = np.asarray(model.is_categorical_, dtype=bool)
    order = np.concatenate([np.flatnonzero(flags), np.flatnonzero(~flags)])
    encoder = preprocessor.named_transformers_["encoder"]
    categories = {
        position: [float(value) for value in values if not np.isnan(value)]
        for position, values in enumerate(encoder.categories_)
    }
    return order, np.arange(count) < flags.sum(), categories


def _histogram_tree(
    tree: Any, order: NDArray[np.int64], categorical: NDArray[np.bool_], categories: dict[int, list[float]]
) -> Tree:
    nodes = tree.nodes
    leaf = nodes["is_leaf"].astype(bool)
    seen = np.where(leaf, 0, nodes["feature_idx"]).astype(np.int64)
    left, right = nodes["left"].astype(np.int64), nodes["right"].astype(np.int64)
    missing_left = nodes["missing_go_to_left"].astype(bool)
    sets: dict[int, list[float]] = {}
    for node in np.flatnonzero(nodes["is_categorical"].astype(bool) & categorical[seen] & ~leaf):
        bits = tree.raw_left_cat_bitsets[nodes["bitset_idx"][node]]
        values = categories[int(seen[node])]
        goes_left = [bool(int(bits[code // 32]) >> (code % 32) & 1) for code in range(len(values))]
        if missing_left[node]:  # whatever is not known to go right goes left: ask for the others instead
            left[node], right[node] = right[node], left[node]
            goes_left = [not going for going in goes_left]
        sets[int(node)] = [value for value, going in zip(values, goes_left, strict=True) if going]
    missing_left[list(sets)] = False
    return Tree(
        feature=order[seen],
        threshold=nodes["num_threshold"].astype(np.float64),
        left=left,
        right=right,
        leaf=leaf,
        nan_left=missing_left,
        values=nodes["value"].astype(np.float64)[:, None],
        cover=nodes["count"].astype(np.float64),
        sets=sets,
    )


def _forest(model: Any) -> Ensemble:
    members = getattr(model, "estimators_", [model])
    classes = getattr(model, "classes_", None)
    trees = []
    for member in members:
        tree = member.tree_
        values = tree.value.astype(np.float64)
        if values.shape[1] != 1:
            raise PermanentError(f"{type(model).__name__} with several outputs cannot be exported")
        values = values[:, 0, :]
        if classes is not None:
            values = values / values.sum(axis=1, keepdims=True)
            if len(classes) == 2:
                values = values[:, 1:]
        trees.append(_grown(tree, values / len(members)))
    return Ensemble(trees=trees, base=[0.0] * trees[0].values.shape[1], link="identity")


def _grown(tree: Any, values: NDArray[np.float64]) -> Tree:
    """One of scikit-learn's Cython trees, with these values [nodes, targets]."""
    leaf = tree.children_left < 0
    missing = getattr(tree, "missing_go_to_left", np.zeros(len(leaf)))
    return Tree(
        feature=tree.feature.astype(np.int64),
        threshold=tree.threshold.astype(np.float64),
        left=tree.children_left.astype(np.int64),
        right=tree.children_right.astype(np.int64),
        leaf=leaf,
        nan_left=np.asarray(missing).astype(bool),
        values=values,
        cover=tree.weighted_n_node_samples.astype(np.float64),
    )


def boosted_ensemble(model: Any) -> Ensemble | None:
    """The ensemble of a fitted GradientBoosting estimator that begins with a constant, None for any other. Only its
    explanations are made of it: its answers are skl2onnx's."""
    kinds = {"GradientBoostingClassifier", "GradientBoostingRegressor"}
    if type(model).__name__ not in kinds or not type(model).__module__.startswith("sklearn."):
        return None
    if model.init_ != "zero" and not type(model.init_).__name__.startswith("Dummy"):
        return None
    base = np.asarray(model._raw_predict_init(np.zeros((1, model.n_features_in_), np.float32)), np.float64).ravel()
    scale = 2.0 if model.loss == "exponential" else 1.0  # P = 1 / (1 + exp(-2 raw)) there
    link: Link = "identity"
    if type(model).__name__ == "GradientBoostingClassifier":
        link = "logistic" if len(base) == 1 else "softmax"
    trees = [_grown(member.tree_, member.tree_.value[:, 0, :] * model.learning_rate * scale)
             for stage in model.estimators_ for member in stage]  # fmt: skip
    return Ensemble(trees=trees, base=(base * scale).tolist(), link=link)
