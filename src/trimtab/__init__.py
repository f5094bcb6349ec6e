"""Trimtab keeps what a machine learning system must hold, by itself, with the evidence.

Programs that ask a prediction server import from here: `trimtab.Client`, `trimtab.AsyncClient`, what they take and
give, and `trimtab.TrimtabError`, the root of every error. `trimtab.adopt` turns a model that was fitted in a notebook
into a system. In a `train` function `trimtab.fit_module` fits a PyTorch module, `trimtab.calibrate` puts probabilities
right, `trimtab.OnnxModel` is what is returned of a model that is ONNX already, and `trimtab.log_metrics` and its
neighbours log what is to be kept of the training.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from trimtab.version import __version__

if TYPE_CHECKING:  # nothing is imported before it is asked for: a verb starts fast
    from trimtab.adoption.adopt import Adoption, adopt
    from trimtab.errors import TrimtabError
    from trimtab.serving.client.answers import AnswerError, Inference, Prediction, Truth
    from trimtab.serving.client.asynchronous import AsyncClient
    from trimtab.serving.client.sync import Client
    from trimtab.training.calibrate import calibrate
    from trimtab.training.export.given import OnnxModel
    from trimtab.training.torch_fit import fit_module
    from trimtab.training.tracking.callbacks import lightgbm_callback, xgboost_callback
    from trimtab.training.tracking.log import flush_logged, log_artifact, log_figure, log_metric, log_metrics, log_table

__all__ = [
    "Adoption",
    "AnswerError",
    "AsyncClient",
    "Client",
    "Inference",
    "OnnxModel",
    "Prediction",
    "TrimtabError",
    "Truth",
    "__version__",
    "adopt",
    "calibrate",
    "fit_module",
    "flush_logged",
    "lightgbm_callback",
    "log_artifact",
    "log_figure",
    "log_metric",
    "log_metrics",
    "log_table",
    "xgboost_callback",
]
_HOMES = {
    "Adoption": "trimtab.adoption.adopt",
    "AnswerError": "trimtab.serving.client.answers",
    "AsyncClient": "trimtab.serving.client.asynchronous",
    "Client": "trimtab.serving.client.sync",
    "Inference": "trimtab.serving.client.answers",
    "OnnxModel": "trimtab.training.export.given",
    "Prediction": "trimtab.serving.client.answers",
    "TrimtabError": "trimtab.errors",
    "Truth": "trimtab.serving.client.answers",
    "adopt": "trimtab.adoption.adopt",
    "calibrate": "trimtab.training.calibrate",
    "fit_module": "trimtab.training.torch_fit",
    "flush_logged": "trimtab.training.tracking.log",
    "lightgbm_callback": "trimtab.training.tracking.callbacks",
    "log_artifact": "trimtab.training.tracking.log",
    "log_figure": "trimtab.training.tracking.log",
    "log_metric": "trimtab.training.tracking.log",
    "log_metrics": "trimtab.training.tracking.log",
    "log_table": "trimtab.training.tracking.log",
    "xgboost_callback": "trimtab.training.tracking.callbacks",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'trimtab' has no attribute {name!r}")
    return getattr(import_module(home), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
