"""Which hyper-parameters to try next: Optuna's samplers, in memory, told of every trial that the ledger holds."""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from trimtab.errors import PermanentError
from trimtab.training.spec import Dimension, SearchSpec

if TYPE_CHECKING:
    import optuna


class Sampler:
    """Asks for hyper-parameters and is told how they did. Not for several threads at once.

    Figures are oriented so that greater is better. `broken` says by how much each requirement is missed (0: not at
    all): a trial that misses one is infeasible, which TPE learns from.
    """

    def __init__(self, spec: SearchSpec, *, seed: int, before: int) -> None:
        """`before` trials are told before the first is asked for. Raises PermanentError where Optuna is missing."""
        try:
            import optuna  # here: only a search pays for it
        except ModuleNotFoundError as error:
            raise PermanentError(
                f"a search needs the package {error.name!r}, which is not installed",
                hint="pip install 'trimtab[search]'",
            ) from error
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._spec = spec
        self._distributions = {d.name: distribution(d) for d in spec.space}
        # Random numbers must not begin again where a search goes on, or its trials would be the same ones.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # samplers that Optuna calls experimental
            self._study = optuna.create_study(
                sampler=_sampler(spec.sampler, (seed + 1_000_003 * before) % 2**32),
                directions=["maximize"] * len(spec.objectives),
            )
        self._grid = list(grid(spec.space)) if spec.sampler == "grid" else []

    @property
    def most(self) -> int | None:
        """How many trials there are at all; None where there is no end."""
        return len(self._grid) if self._spec.sampler == "grid" else None

    def ask(self, number: int) -> tuple[optuna.Trial | None, dict[str, Any]]:
        """A ticket and the hyper-parameters of trial `number` (0 is the first)."""
        if self._grid:
            return None, self._grid[number]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            trial = self._study.ask(self._distributions)
        return trial, dict(trial.params)

    def tell(
        self,
        ticket: optuna.Trial | None,
        figures: Sequence[float] | None,
        broken: Mapping[str, float],
        given_up: Sequence[float] | None = None,
    ) -> None:
        """What came of an asked trial; without figures it came to no model. `given_up` are the figures at the rungs of
        one that was not measured in full."""
        if ticket is None:
            return
        from optuna.trial import TrialState

        for name, amount in broken.items():
            ticket.set_constraint(name, amount)
        if given_up is not None:
            for step, figure in enumerate(given_up):
                ticket.report(figure, step)
            self._study.tell(ticket, state=TrialState.PRUNED)
        elif figures is None:
            self._study.tell(ticket, state=TrialState.FAIL)
        else:
            self._study.tell(ticket, list(figures))

    def restore(
        self,
        params: Mapping[str, Any],
        figures: Sequence[float] | None,
        broken: Mapping[str, float],
        given_up: Sequence[float] | None = None,
    ) -> None:
        """A trial of before."""
        from optuna.trial import TrialState, create_trial

        if self._grid or figures is None:
            return
        pruned = given_up is not None
        self._study.add_trial(
            create_trial(
                state=TrialState.PRUNED if pruned else TrialState.COMPLETE,
                values=None if pruned else list(figures),
                params=dict(params),
                distributions=self._distributions,
                constraints=dict(broken),
                intermediate_values=dict(enumerate(given_up or ())),
            )
        )


def grid(space: Sequence[Dimension]) -> list[dict[str, Any]]:
    """Every combination of the choices, the last hyper-parameter changing fastest."""
    names = [dimension.name for dimension in space]
    return [dict(zip(names, each, strict=True)) for each in itertools.product(*(d.choices for d in space))]


def excess(figure: float | None, comparison: str, limit: float) -> float:
    """By how much a figure misses its limit, relative to it: 0 where it is met, 1 where it is unknown."""
    if figure is None or not math.isfinite(figure):
        return 1.0
    above = comparison in (">=", ">")
    missed = limit - figure if above else figure - limit
    return max(0.0, missed) / max(abs(limit), 1e-12)


def distribution(dimension: Dimension) -> optuna.distributions.BaseDistribution:
    """The values of one hyper-parameter, as Optuna has them."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if dimension.choices:
        return CategoricalDistribution(dimension.choices)
    if dimension.integer:
        return IntDistribution(int(dimension.low), int(dimension.high), log=dimension.log)
    return FloatDistribution(dimension.low, dimension.high, log=dimension.log)


def _sampler(kind: Literal["tpe", "cmaes", "random", "grid"], seed: int) -> optuna.samplers.BaseSampler:
    from optuna import samplers

    if kind == "tpe":
        return samplers.TPESampler(seed=seed)
    if kind == "cmaes":
        return samplers.CmaEsSampler(seed=seed)
    return samplers.RandomSampler(seed=seed)
