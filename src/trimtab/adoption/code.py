"""A fitted estimator as the Python code that makes it again, unfitted."""

from __future__ import annotations

import inspect
import sys
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from trimtab.errors import PermanentError

_KNOWN = ("sklearn", "lightgbm", "xgboost")


@dataclass
class Written:
    """`expression` makes the estimator, given the `imports` (module to names). `params` are its own plain settings,
    which are left out of the expression: they go to `[model] params`. `matrix` is what of the rows it is fitted on, and
    `told` the settings that are only known from them."""

    expression: str
    params: dict[str, Any]
    imports: dict[str, set[str]] = field(default_factory=dict)
    matrix: str = "train.x"
    told: str = ""

    def import_lines(self) -> str:
        """`from ... import ...`, in order."""
        return "\n".join(f"from {m} import {', '.join(sorted(names))}" for m, names in sorted(self.imports.items()))


def write_estimator(model: Any) -> Written:
    """The code of a scikit-learn, LightGBM or XGBoost estimator: its class, and every setting that is not the default.

    Raises PermanentError for anything else, and for a setting that cannot be written down, naming it.
    """
    if type(model).__module__.partition(".")[0] not in _KNOWN or not hasattr(model, "get_params"):
        raise PermanentError(
            f"{type(model).__module__}.{type(model).__name__} cannot be adopted",
            hint="fit an estimator of scikit-learn, LightGBM or XGBoost, or write trimtab.toml and model.py by hand",
        )
    written = Written(expression="", params={})
    settings = _changed(model)
    if type(model).__module__.partition(".")[0] == "xgboost":
        _of_xgboost(model, settings, written)
    for name in [name for name, value in settings.items() if _plain(value)]:
        written.params[name] = _scalar(settings.pop(name))
    if type(model).__name__ == "ColumnTransformer":
        raise PermanentError("ColumnTransformer predicts nothing", hint="adopt the pipeline that it is part of")
    if type(model).__name__.startswith("HistGradientBoosting") and getattr(model, "is_categorical_", None) is not None:
        settings.pop("categorical_features", None)
        written.params.pop("categorical_features", None)
        written.told = "categorical_features=train.categorical"
    written.expression = _call(model, settings, written.imports, where=type(model).__name__)
    return written


def _of_xgboost(model: Any, settings: dict[str, Any], written: Written) -> None:
    """It knows no code for unknown categories, names them by feature, and has stopped early where it did."""
    written.matrix = "train.coded()"
    if settings.get("enable_categorical"):
        settings.pop("feature_types", None)
        written.told = "feature_types=train.feature_types"
    if settings.pop("early_stopping_rounds", None):
        settings["n_estimators"] = model.best_iteration + 1


def _changed(model: Any) -> dict[str, Any]:
    """Settings that differ from the class's defaults; XGBoost's classes leave most of theirs to the one they extend."""
    defaults = {
        name: p.default
        for kind in reversed(type(model).__mro__)
        if "__init__" in vars(kind) and kind is not object
        for name, p in inspect.signature(vars(kind)["__init__"]).parameters.items()
    }
    return {
        name: value
        for name, value in model.get_params(deep=False).items()
        if not (name in defaults and _same(value, defaults[name]))
    }


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
        return False
    try:
        return type(a) is type(b) and (bool(a == b) or (a != a and b != b))  # noqa: PLR0124 - NaN is like NaN
    except (TypeError, ValueError):
        return False


def _plain(value: Any) -> bool:
    """Whether a setting can stand in a TOML file; None cannot."""
    return isinstance(_scalar(value), bool | int | float | str) and value == value  # noqa: PLR0124 - NaN is not plain


def _scalar(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def _call(model: Any, settings: dict[str, Any], imports: dict[str, set[str]], *, where: str) -> str:
    name = type(model).__name__
    imports.setdefault(_home(type(model)), set()).add(name)
    written = (f"{key}={_value(value, imports, where=f'{where}.{key}')}" for key, value in settings.items())
    return f"{name}({', '.join(written)})"


def _value(value: Any, imports: dict[str, set[str]], *, where: str) -> str:
    value = _scalar(value)
    if value is None or isinstance(value, bool | int | float | str):
        if isinstance(value, float) and not np.isfinite(value):
            return f"float({str(value)!r})"
        return repr(value)
    if isinstance(value, list | tuple):
        inside = ", ".join(_value(each, imports, where=f"{where}[{i}]") for i, each in enumerate(value))
        return f"[{inside}]" if isinstance(value, list) else f"({inside}{',' if len(value) == 1 else ''})"
    if isinstance(value, dict) and all(isinstance(key, str | int | float) for key in value):
        pairs = [f"{key!r}: {_value(each, imports, where=f'{where}[{key!r}]')}" for key, each in value.items()]
        return "{" + ", ".join(pairs) + "}"
    if type(value).__name__ == "ColumnTransformer":
        return _column_transformer(value, imports, where=where)
    if type(value).__module__.partition(".")[0] in _KNOWN and hasattr(value, "get_params"):
        return _call(value, _changed(value), imports, where=where)
    raise PermanentError(
        f"{where} is a {type(value).__name__}, which cannot be written down as code",
        hint="use plain settings, or write model.py by hand",
    )


def _column_transformer(value: Any, imports: dict[str, set[str]], *, where: str) -> str:
    """Its columns, which it picks by name, as places in the matrix that a model is trained on. There a category is its
    number in the order of the texts, and -1 where it is unknown or not there."""
    if not hasattr(value, "transformers_"):
        raise PermanentError(f"{where} is not fitted, so its columns are not known", hint="adopt the fitted estimator")
    fitted = {name: columns for name, _, columns in value.transformers_}
    parts = []
    for name, each, _ in value.transformers:
        inside = f"{where}[{name!r}]"
        columns = fitted.get(name, ())
        if isinstance(columns, str):
            raise PermanentError(
                f"{inside} takes the texts of column {columns!r}, but a model is trained on a matrix of numbers",
                hint="write a model.py whose features(rows) does it, beside train(train, valid, params)",
            )
        if not all(isinstance(column, str | int | np.integer) for column in columns):
            raise PermanentError(f"{inside} picks its columns otherwise than by name or number", hint="name them")
        places = ", ".join(
            f"train.names.index({column!r})" if isinstance(column, str) else str(int(column)) for column in columns
        )
        made = repr(each) if isinstance(each, str) else _value(each, imports, where=inside)
        parts.append(f"({name!r}, {made}, [{places}])")
    settings = _changed(value)
    settings.pop("transformers")
    settings.pop("force_int_remainder_cols", None)
    imports.setdefault(_home(type(value)), set()).add(type(value).__name__)
    more = "".join(f", {key}={_value(each, imports, where=f'{where}.{key}')}" for key, each in settings.items())
    return f"{type(value).__name__}([{', '.join(parts)}]{more})"


def _home(kind: type) -> str:
    """The shortest module that the class can be imported from."""
    parts = kind.__module__.split(".")
    for end in range(1, len(parts)):
        module = sys.modules.get(".".join(parts[:end]))
        if module is not None and getattr(module, kind.__name__, None) is kind:
            return ".".join(parts[:end])
    return kind.__module__
