"""A fitted estimator as the Python code that makes it again, unfitted."""

from __future__ import annotations

import inspect
import sys
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from trimtab.errors import PermanentError

_KNOWN = ("sklearn", "lightgbm")


@dataclass
class Written:
    """`expression` makes the estimator, given the `imports` (module to names). `params` are its own plain settings,
    which are left out of the expression: they go to `[model] params`."""

    expression: str
    params: dict[str, Any]
    imports: dict[str, set[str]] = field(default_factory=dict)

    def import_lines(self) -> str:
        """`from ... import ...`, in order."""
        return "\n".join(f"from {m} import {', '.join(sorted(names))}" for m, names in sorted(self.imports.items()))


def write_estimator(model: Any) -> Written:
    """The code of a scikit-learn or LightGBM estimator: its class, and every setting that is not the default.

    Raises PermanentError for anything else, and for a setting that cannot be written down, naming it.
    """
    if type(model).__module__.partition(".")[0] not in _KNOWN or not hasattr(model, "get_params"):
        raise PermanentError(
            f"{type(model).__module__}.{type(model).__name__} cannot be adopted",
            hint="fit an estimator of scikit-learn or LightGBM, or write trimtab.toml and model.py by hand",
        )
    written = Written(expression="", params={})
    settings = _changed(model)
    for name in [name for name, value in settings.items() if _plain(value)]:
        written.params[name] = _scalar(settings.pop(name))
    written.expression = _call(model, settings, written.imports, where=type(model).__name__)
    return written


def _changed(model: Any) -> dict[str, Any]:
    """Settings that differ from the class's defaults."""
    defaults = {name: p.default for name, p in inspect.signature(type(model).__init__).parameters.items()}
    return {
        name: value
        for name, value in model.get_params(deep=False).items()
        if not (name in defaults and _same(value, defaults[name]))
    }


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
        return False
    try:
        return type(a) is type(b) and bool(a == b)
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
        inside = [_value(each, imports, where=f"{where}[{i}]") for i, each in enumerate(value)]
        if isinstance(value, list):
            return f"[{', '.join(inside)}]"
        return f"({', '.join(inside)}{',' if len(inside) == 1 else ''})"
    if isinstance(value, dict) and all(isinstance(key, str | int | float) for key in value):
        inside = [f"{key!r}: {_value(each, imports, where=f'{where}[{key!r}]')}" for key, each in value.items()]
        return "{" + ", ".join(inside) + "}"
    if type(value).__name__ == "ColumnTransformer":
        raise PermanentError(
            f"{where} picks columns by name, but a model is trained on one matrix of numbers",
            hint="fit the estimator on numbers and categories, or move what it does into features(rows) of model.py",
        )
    if type(value).__module__.partition(".")[0] in _KNOWN and hasattr(value, "get_params"):
        return _call(value, _changed(value), imports, where=where)
    raise PermanentError(
        f"{where} is a {type(value).__name__}, which cannot be written down as code",
        hint="use plain settings, or write model.py by hand",
    )


def _home(kind: type) -> str:
    """The shortest module that the class can be imported from."""
    parts = kind.__module__.split(".")
    for end in range(1, len(parts)):
        module = sys.modules.get(".".join(parts[:end]))
        if module is not None and getattr(module, kind.__name__, None) is kind:
            return ".".join(parts[:end])
    return kind.__module__
