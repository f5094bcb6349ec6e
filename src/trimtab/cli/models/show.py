"""`trimtab models show`: what a model was made of and what it was measured at."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from trimtab.cli.figures import number
from trimtab.cli.models.diff import show_weak
from trimtab.cli.models.find import SHORT, expect, figure, find, interval, releases
from trimtab.cli.models.tracked import lines
from trimtab.cli.output import emit_json
from trimtab.cli.terminal import plain, say, show_table, styled
from trimtab.experiments.trainings import find_training

if TYPE_CHECKING:
    from trimtab.records.facts import ModelTrained
    from trimtab.records.slices import WeakSlicesFound
    from trimtab.wiring.place import Place

_MOST_FEATURES = 15


def run(place: Place, words: list[str], args: argparse.Namespace) -> int:
    """Do the action."""
    expect(words, 1, 1, "show [SYSTEM] MODEL")
    entry = find(place, words[0])
    fact = entry.fact
    training = find_training(place.blobs, fact.identity.id)
    moved = [r for r in releases(place).all if r.model == fact.identity.id]
    if args.json:
        emit_json(
            {
                "at": entry.at,
                "model": fact,
                "measured": entry.measured,
                "releases": moved,
                "importance": _importance(place, fact)[1],
                "weak": _weak(place, fact),
                "training": training,
            }
        )
        return 0
    stages = ", ".join(f"{r.release} is {r.stage.replace('_', ' ')} since {r.since:%Y-%m-%d %H:%M}" for r in moved)
    say(f"{styled(fact.identity.id, 'bold')}: {stages or 'in no release'}", indent=2)
    settings = ", ".join(f"{name} = {value}" for name, value in fact.params.items()) or "none"
    libraries = ", ".join(f"{name} {version}" for name, version in fact.libraries.items())
    for title, text in (
        ("code", f"{fact.identity.code[:SHORT]}: {', '.join(fact.code_files)}; {libraries}"),
        ("params", f"{fact.identity.params[:SHORT]}: {settings}"),
        ("data", f"{fact.identity.data[:SHORT]}: {fact.dataset} {fact.dataset_version[:SHORT]}, {fact.rows:,} rows"),
        ("trained", f"on {fact.train_from:%Y-%m-%d %H:%M} to {fact.train_to:%Y-%m-%d %H:%M}"),
        ("measured", f"on {fact.valid_from:%Y-%m-%d %H:%M} to {fact.valid_to:%Y-%m-%d %H:%M}"),
        ("parity", f"{fact.parity:.2g} between the fitted and the exported model, at most"),
    ):
        say(f"{title:<9}{plain(text)}", indent=9)
    for title, text in lines(training) if training is not None else ():
        say(f"{title:<9}{plain(text)}", indent=9)
    for line in _threshold(place, fact):
        say(line, indent=9)
    say()
    rows = [
        [name, figure(found), interval(found), figure(fact.baseline.get(name))] for name, found in fact.metrics.items()
    ]
    show_table("", ("metric", "figure", "95% interval", "baseline"), rows, right=(1, 3))
    for found in _weak(place, fact):
        if found.slices:
            say()
        title = f"it is worse than {found.against[:SHORT]}" if found.against else "it promises more than it holds"
        show_weak(found.slices, found.metric, found.rate, title)
    unit, importance = _importance(place, fact)
    if importance:
        largest = list(importance.items())[:_MOST_FEATURES]
        more = f" (of {len(importance)})" if len(largest) < len(importance) else ""
        say()
        heads = (f"feature{more}", f"mean |contribution|, {unit}")
        show_table("", heads, [[plain(name), number(size)] for name, size in largest], right=(1,))
    return 0


def _threshold(place: Place, fact: ModelTrained) -> list[str]:
    """How the decision threshold was chosen, where the declaration asks for the one that earned the most."""
    from trimtab.records.requirement import ThresholdChosen

    chosen = fact.threshold
    if not isinstance(chosen, ThresholdChosen):
        return []
    currency = place.system.value.currency if place.system.value is not None else ""
    told = f"threshold {number(chosen.threshold)}: the break-even is {number(chosen.break_even)}"
    if chosen.gain is None or chosen.low is None or chosen.high is None:
        return [f"{told}, and there were too few days to choose another"]
    gain = f"{number(chosen.gain)} {currency} per 1,000 ({number(chosen.low)}..{number(chosen.high)})"
    if chosen.threshold == chosen.break_even:
        return [f"{told}; choosing another gained {gain} on other days, which is not beyond chance"]
    return [f"{told}; this one gained {gain} on days it was not chosen on"]


def _weak(place: Place, fact: ModelTrained) -> list[WeakSlicesFound]:
    """What its gate found of it: where it does worse than on the whole, and than the model that was live."""
    from trimtab.records.slices import WeakSlicesFound

    newest: dict[str, WeakSlicesFound] = {}
    for entry in place.ledger.entries(WeakSlicesFound, prefix="weak:"):
        if entry.fact.model == fact.identity.id:
            newest[entry.fact.against] = entry.fact
    return list(newest.values())


def _importance(place: Place, fact: ModelTrained) -> tuple[str, dict[str, float]]:
    """The unit, and how much each feature contributes to answers, the most first; nothing where it is not kept."""
    from trimtab.inference.explain.kept import decode_explainer

    if not isinstance(fact.bundle.explainer, str):
        return "", {}
    kept = decode_explainer(place.blobs.get(fact.bundle.explainer))
    named = zip((feature.name for feature in fact.bundle.signature.features), kept.importance, strict=True)
    return kept.unit, dict(sorted(named, key=lambda pair: -pair[1]))
