"""Which exporter a fitted model needs, and the check that what was exported is the same model."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from trimtab.errors import PermanentError
from trimtab.records.model import Signature
from trimtab.training.export.calibration import Calibrated, add_calibration
from trimtab.training.export.ensemble import Ensemble, ensemble_graph
from trimtab.training.export.given import given_graph, given_scores, onnx_model_of
from trimtab.training.export.graph import Graph, spread_classes, to_bytes

LARGEST_DIFFERENCE = 1e-4


def export(model: Any, signature: Signature) -> bytes:
    """The ONNX bytes of what the user's `train` returned.

    Raises PermanentError for something that is no fitted model of scikit-learn, LightGBM or XGBoost, no PyTorch module
    and no ONNX model, that does not fit the task or the features, or that cannot be exported.
    """
    graph = _scoring(model, signature)
    ends = signature.onnx_input, signature.onnx_output
    return to_bytes(graph, features=len(signature.features), onnx_input=ends[0], onnx_output=ends[1])


def _scoring(model: Any, signature: Signature) -> Graph:
    """The graph of any model, to P(positive) or the number [n, 1], or probabilities [n, classes]."""
    if isinstance(model, Calibrated):
        graph = _scoring(model.model, signature)
        add_calibration(graph, model)
        return graph
    given = onnx_model_of(model)
    if is_module(model) or given is not None:
        if given is not None:
            graph = given_graph(given, signature)
        else:
            from trimtab.training.export.torch import module_graph  # here: import only the exporter that is needed

            graph = module_graph(model, signature)
        if signature.task == "binary_classification":
            _positive(graph)
        return graph
    _check(model, signature)
    graph = _graph(model, signature.onnx_input, len(signature.features))
    classes = len(signature.classes)
    present = _present(model, classes)
    if signature.task == "binary_classification":
        if len(present) != 2:
            raise PermanentError("the model has learned one class only")
        _positive(graph)
    elif signature.task == "multiclass_classification":
        if graph.width == 1 and len(present) == 2:
            _both(graph)
        spread_classes(graph, present, classes)
    if classes and _is_plain_sum(graph):
        bounds = [
            graph.constant(name, np.array(bound, np.float32)) for name, bound in (("no_share", 0), ("every_share", 1))
        ]
        graph.add("Clip", [graph.output, *bounds], "bounded_shares")
    return graph


def _is_plain_sum(graph: Graph) -> bool:
    """Whether trees are added up, with no link: shares of a forest's trees may come to 1.0000001."""
    links = any(node.op_type == "Sigmoid" for node in graph.nodes)
    attributes = [one for node in graph.nodes for one in node.attribute]
    return not links and any(one.name == "post_transform" and one.s == b"NONE" for one in attributes)


def native_scores(model: Any, x: NDArray[np.float32], signature: Signature) -> NDArray[np.float64] | None:
    """What the model itself answers: [n] P(positive) or the number, [n, classes] for several classes. None for an ONNX
    model that comes without a callable: it is itself."""
    if isinstance(model, Calibrated):
        own = native_scores(model.model, x, signature)
        return None if own is None else model.apply(own)
    given = onnx_model_of(model)
    if given is not None:
        return given_scores(given, x, signature)
    return _library_scores(model, x, signature)


def _library_scores(model: Any, x: NDArray[np.float32], signature: Signature) -> NDArray[np.float64]:
    if is_module(model):
        from trimtab.training.export.torch import module_scores

        return module_scores(model, x, signature)
    classes = len(signature.classes)
    if _comes_from(model, "xgboost"):
        from trimtab.training.export.xgboost import xgboost_scores

        out = xgboost_scores(model, x)
        return out[:, 1] if signature.task == "binary_classification" and out.ndim == 2 else out
    if hasattr(model, "predict_proba"):
        out = np.asarray(model.predict_proba(x), dtype=np.float64)
        if classes > 2 or signature.task == "multiclass_classification":
            full = np.zeros((len(out), classes))
            full[:, _present(model, classes)] = out
            return full
        return out[:, 1]
    out = np.asarray(model.predict(x), dtype=np.float64)
    return out if signature.task == "multiclass_classification" else out.reshape(len(x))


def difference(exported: NDArray[np.float32], native: NDArray[np.float64]) -> float:
    """The largest absolute difference. Probabilities as they are; numbers (regression) relative to their spread where
    that is above 1, since a float32 holds 7 digits whatever the unit. Not a number on one side only is infinite."""
    ours = exported.astype(np.float64)
    if not np.array_equal(np.isfinite(ours), np.isfinite(native)):
        return float("inf")
    known = np.isfinite(native)
    if not known.any():
        return 0.0
    return float(np.abs(ours[known] - native[known]).max() / max(1.0, float(native[known].std())))


def ensemble_of(model: Any) -> Ensemble | None:
    """The trees of a fitted model that is nothing but a sum of them, None for any other. Raises PermanentError for
    trees that cannot be exported."""
    model = unwrapped(model)
    if _comes_from(model, "lightgbm"):
        from trimtab.training.export.lightgbm import lightgbm_ensemble  # here: import only the exporter that is needed

        return lightgbm_ensemble(model)
    if _comes_from(model, "xgboost"):
        from trimtab.training.export.xgboost import xgboost_ensemble

        return xgboost_ensemble(model)
    from trimtab.training.export.scikit import scikit_ensemble

    return scikit_ensemble(model)


def is_module(model: Any) -> bool:
    """True for a torch.nn.Module, without importing PyTorch."""
    return any(f"{kind.__module__}.{kind.__name__}" == "torch.nn.modules.module.Module" for kind in type(model).__mro__)


def unwrapped(model: Any) -> Any:
    """The model that a pipeline of nothing else wraps; any other as it is."""
    steps = _steps(model)
    if steps and all(step in (None, "passthrough") for step in steps[:-1]):
        return unwrapped(steps[-1])
    return model


def _graph(model: Any, source: str, features: int) -> Graph:
    model = unwrapped(model)
    ensemble = ensemble_of(model)
    if ensemble is not None:
        return ensemble_graph(ensemble, source)
    from trimtab.training.export.scikit import library_graph

    steps = _steps(model)
    after = ensemble_of(steps[-1]) if steps else None
    if after is None:
        return library_graph(model, source, features)
    first = library_graph(model[:-1], source, features)
    whole = ensemble_graph(after, first.output)
    whole.input = source
    whole.nodes = [*first.nodes, *whole.nodes]
    whole.constants = [*first.constants, *whole.constants]
    return whole


def _steps(model: Any) -> list[Any]:
    """The steps of a scikit-learn pipeline, none for any other model."""
    pipeline = type(model).__name__ == "Pipeline" and _comes_from(model, "sklearn")
    return [step for _, step in model.steps] if pipeline else []


def _check(model: Any, signature: Signature) -> None:
    if model is None:
        raise PermanentError("train() returned nothing", hint="end it with `return model`")
    if not any(_comes_from(model, library) for library in ("lightgbm", "xgboost", "sklearn")):
        raise PermanentError(
            f"train() returned {type(model).__module__}.{type(model).__name__}; expected a fitted scikit-learn, "
            "LightGBM or XGBoost model, a PyTorch module, or an ONNX model"
        )
    booster = type(model).__name__ == "Booster"
    if not booster:
        fitted = getattr(model, "n_features_in_", None)
        if fitted is None:
            raise PermanentError(f"train() returned a {type(model).__name__} that is not fitted")
        if signature.task == "regression" and hasattr(model, "predict_proba"):
            raise PermanentError(f"train() returned the classifier {type(model).__name__} for a regression")
        if signature.task != "regression" and not hasattr(model, "predict_proba"):
            raise PermanentError(
                f"{type(model).__name__} gives no probabilities", hint="use a classifier with predict_proba"
            )
    counted = getattr(model, "num_features", None) or getattr(model, "num_feature", None)  # XGBoost's, LightGBM's
    width = counted() if booster and counted else model.n_features_in_
    if width != len(signature.features):
        raise PermanentError(
            f"the model was fitted on {width} features; the rows have {len(signature.features)}",
            hint="fit on train.x as it is",
        )


def _present(model: Any, classes: int) -> list[int]:
    """Positions of the classes that the model has met."""
    found = getattr(model, "classes_", None)
    return list(range(classes)) if found is None else [int(value) for value in found]


def _positive(graph: Graph) -> None:
    """Of two columns, the one of the positive class."""
    if graph.width == 2:
        graph.add("Gather", [graph.output, graph.constant("positive_class", np.array([1]))], "positive", axis=1)
        graph.width = 1


def _both(graph: Graph) -> None:
    one = graph.constant("one", np.array([1.0], dtype=np.float32))
    positive = graph.output
    graph.add("Sub", [one, positive], "negative")
    graph.add("Concat", ["negative", positive], "both", axis=1)
    graph.width = 2


def _comes_from(model: Any, library: str) -> bool:
    return any(kind.__module__.partition(".")[0] == library for kind in type(model).__mro__)
