"""Callbacks that log what LightGBM and XGBoost measure after each round."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from trimtab.errors import PermanentError
from trimtab.training.tracking.log import log_metrics


def lightgbm_callback(prefix: str = "") -> Callable[[Any], None]:
    """For `callbacks=[...]` of LightGBM: a metric `<data>/<metric>` for each evaluation set, by round."""

    def called(env: Any) -> None:
        found = env.evaluation_result_list or ()
        log_metrics({f"{prefix}{each[0]}/{each[1]}": each[2] for each in found}, step=env.iteration)

    called.order = 20  # type: ignore[attr-defined] # LightGBM's own callbacks that record come at 20
    return called


def xgboost_callback(prefix: str = "") -> Any:
    """For `callbacks=[...]` of XGBoost: a metric `<data>/<metric>` for each evaluation set, by round."""
    try:
        from xgboost.callback import TrainingCallback  # here: only who uses XGBoost has it
    except ModuleNotFoundError as error:
        raise PermanentError("XGBoost is not installed", hint="pip install xgboost") from error

    class Logged(TrainingCallback):
        def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:  # noqa: ARG002 - XGBoost calls it so
            log_metrics(
                {f"{prefix}{data}/{metric}": _last(values) for data, its in evals_log.items()
                 for metric, values in its.items()},
                step=epoch,
            )  # fmt: skip
            return False

    return Logged()


def _last(values: Any) -> float:
    last = values[-1]
    return float(last[0] if isinstance(last, tuple) else last)  # cross-validation gives mean and deviation
