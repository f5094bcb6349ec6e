"""Which hyper-parameters a search's figures depend on."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from trimtab.training.search.sampling import distribution
from trimtab.training.spec import Dimension

LEAST_TRIALS = 8


def importance(space: Sequence[Dimension], trials: Sequence[tuple[Mapping[str, Any], float]]) -> dict[str, float]:
    """The share of the figure's variation that each hyper-parameter explains by itself among the better trials, summing
    to 1, the largest first: PED-ANOVA (Watanabe, Bansal & Hutter 2023, IJCAI). `trials` are hyper-parameters and what
    they came to, greater is better. Empty for one hyper-parameter, for few trials, or without Optuna."""
    if len(space) < 2 or len(trials) < LEAST_TRIALS or len({figure for _, figure in trials}) < 2:
        return {}
    try:
        import optuna  # here: only a search's page pays for it
    except ModuleNotFoundError:
        return {}
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    distributions = {one.name: distribution(one) for one in space}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what Optuna calls experimental
        study = optuna.create_study(direction="maximize")
        for params, figure in trials:
            inside = {name: params[name] for name in distributions}
            if all(kind._contains(kind.to_internal_repr(inside[name])) for name, kind in distributions.items()):
                study.add_trial(optuna.trial.create_trial(params=inside, distributions=distributions, value=figure))
        if len(study.trials) < LEAST_TRIALS:
            return {}
        found = optuna.importance.get_param_importances(
            study, evaluator=optuna.importance.PedAnovaImportanceEvaluator()
        )
    total = sum(found.values())
    return {name: share / total for name, share in sorted(found.items(), key=lambda item: -item[1])} if total else {}
