"""`trimtab models`: the model versions in the ledger, what tells two apart, and whether one can be made again."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING

from trimtab.cli.arguments import UsageError, add_words, take_system
from trimtab.cli.figures import number
from trimtab.cli.output import emit_json
from trimtab.cli.terminal import plain, say, show_table, styled

if TYPE_CHECKING:
    from trimtab.loop.releases import Releases
    from trimtab.records.facts import ModelTrained
    from trimtab.records.journal import Entry
    from trimtab.records.requirement import Estimate
    from trimtab.wiring.place import Place

_SHORT = 10
_MOST_FEATURES = 15
_ACTIONS = {
    "list": "every model that was trained, with its release",
    "show": "MODEL: what it was made of and what it was measured at",
    "diff": "A [B]: what tells two models apart (B: the live one)",
    "reproduce": "MODEL: train it again from what is kept, and compare",
}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `models`."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.description = "\n".join(f"  {action:<11}{meaning}" for action, meaning in _ACTIONS.items())
    parser.add_argument("action", choices=_ACTIONS, metavar="ACTION", help=", ".join(_ACTIONS))
    add_words(
        parser,
        "ACTION [SYSTEM] ...",
        "then what the action takes; MODEL is a model's id or its beginning, or a release",
    )


def run(args: argparse.Namespace) -> int:
    """Do the action; 1 when `reproduce` came to another model."""
    from trimtab.wiring.place import open_place

    system, words = take_system(args.words)
    actions: dict[str, Callable[[Place, list[str], argparse.Namespace], int]] = {
        "list": _list,
        "show": _show,
        "diff": _diff,
        "reproduce": _reproduce,
    }
    with open_place(system, args.state, create=False) as place:
        return actions[args.action](place, words, args)


def _releases(place: Place) -> Releases:
    from trimtab.loop.passes.reconcile import releases_of

    return releases_of(place.ledger)


def _models(place: Place) -> dict[str, Entry[ModelTrained]]:
    from trimtab.records.facts import ModelTrained

    return {entry.fact.identity.id: entry for entry in place.ledger.entries(ModelTrained)}


def _find(place: Place, name: str) -> Entry[ModelTrained]:
    """The model with that id, or a unique beginning of it, or of that release."""
    models = _models(place)
    release = next((r for r in _releases(place).all if r.release == name), None)
    close = [release.model] if release else [key for key in models if len(name) >= 4 and key.startswith(name)]
    if len(close) != 1 or close[0] not in models:
        told = (
            f"{len(close)} models begin with {name!r}" if len(close) > 1 else f"no model or release is called {name!r}"
        )
        raise UsageError(told, hint="`trimtab models list` names them")
    return models[close[0]]


def _list(place: Place, words: list[str], args: argparse.Namespace) -> int:
    _expect(words, 0, 0, "list [SYSTEM]")
    models, releases = _models(place), _releases(place).all
    names = {key: [r for r in releases if r.model == key] for key in models}
    if args.json:
        emit_json(
            [{"at": e.at, "model": e.fact, "measured": e.measured, "releases": names[key]} for key, e in models.items()]
        )
        return 0
    metric = _metric(place)
    rows = []
    for key, entry in models.items():
        fact = entry.fact
        found = fact.metrics.get(metric)
        stage = ", ".join(f"{r.release} {r.stage.replace('_', ' ')}" for r in names[key])
        span = f"{fact.train_from:%Y-%m-%d}..{fact.valid_to:%Y-%m-%d}"
        rows.append(
            [
                key[:_SHORT],
                f"{fact.rows:,}",
                span,
                number(found.figure) if found and found.figure is not None else "-",
                stage,
            ]
        )
    if not rows:
        say("no model was trained yet: `trimtab run` trains the first")
        return 0
    show_table("", ("model", "rows", "span", metric, "release"), rows, right=(1, 3))
    return 0


def _metric(place: Place) -> str:
    """The figure that models are told apart by at a glance: the first required one that training measures."""
    from trimtab.loop.passes.evidence import deciding_metric

    wanted = (r.metric for r in place.system.requirements if r.metric.startswith("quality.") and r.by is None)
    return next(wanted, deciding_metric(place.system))


def _show(place: Place, words: list[str], args: argparse.Namespace) -> int:
    _expect(words, 1, 1, "show [SYSTEM] MODEL")
    entry = _find(place, words[0])
    fact = entry.fact
    releases = [r for r in _releases(place).all if r.model == fact.identity.id]
    if args.json:
        emit_json(
            {
                "at": entry.at,
                "model": fact,
                "measured": entry.measured,
                "releases": releases,
                "importance": _importance(place, fact)[1],
            }
        )
        return 0
    stages = ", ".join(f"{r.release} is {r.stage.replace('_', ' ')} since {r.since:%Y-%m-%d %H:%M}" for r in releases)
    say(f"{styled(fact.identity.id, 'bold')}: {stages or 'in no release'}", indent=2)
    settings = ", ".join(f"{name} = {value}" for name, value in fact.params.items()) or "none"
    libraries = ", ".join(f"{name} {version}" for name, version in fact.libraries.items())
    for title, text in (
        ("code", f"{fact.identity.code[:_SHORT]}: {', '.join(fact.code_files)}; {libraries}"),
        ("params", f"{fact.identity.params[:_SHORT]}: {settings}"),
        ("data", f"{fact.identity.data[:_SHORT]}: {fact.dataset} {fact.dataset_version[:_SHORT]}, {fact.rows:,} rows"),
        ("trained", f"on {fact.train_from:%Y-%m-%d %H:%M} to {fact.train_to:%Y-%m-%d %H:%M}"),
        ("measured", f"on {fact.valid_from:%Y-%m-%d %H:%M} to {fact.valid_to:%Y-%m-%d %H:%M}"),
        ("parity", f"{fact.parity:.2g} between the fitted and the exported model, at most"),
    ):
        say(f"{title:<9}{plain(text)}", indent=9)
    say()
    rows = [
        [name, _figure(found), _interval(found), _figure(fact.baseline.get(name))]
        for name, found in fact.metrics.items()
    ]
    show_table("", ("metric", "figure", "95% interval", "baseline"), rows, right=(1, 3))
    unit, importance = _importance(place, fact)
    if importance:
        largest = list(importance.items())[:_MOST_FEATURES]
        more = f" (of {len(importance)})" if len(largest) < len(importance) else ""
        say()
        heads = (f"feature{more}", f"mean |contribution|, {unit}")
        show_table("", heads, [[plain(name), number(size)] for name, size in largest], right=(1,))
    return 0


def _importance(place: Place, fact: ModelTrained) -> tuple[str, dict[str, float]]:
    """The unit, and how much each feature contributes to answers, the most first; nothing where it is not kept."""
    from trimtab.inference.explain.kept import decode_explainer

    if not isinstance(fact.bundle.explainer, str):
        return "", {}
    kept = decode_explainer(place.blobs.get(fact.bundle.explainer))
    named = zip((feature.name for feature in fact.bundle.signature.features), kept.importance, strict=True)
    return kept.unit, dict(sorted(named, key=lambda pair: -pair[1]))


def _diff(place: Place, words: list[str], args: argparse.Namespace) -> int:
    _expect(words, 1, 2, "diff [SYSTEM] A [B]")
    from trimtab.training.compare import diff

    live = _releases(place).live
    if len(words) == 1 and live is None:
        raise UsageError("nothing is live to compare with", hint="name both models")
    second = words[1] if len(words) == 2 else live.release if live else ""
    found = diff(_find(place, words[0]).fact, _find(place, second).fact)
    if args.json:
        emit_json(found)
        return 0
    say(f"{found.a[:_SHORT]} to {found.b[:_SHORT]}")
    for title, changes in (("code", found.code), ("params", found.params), ("data", found.data)):
        for i, change in enumerate(changes or ("the same",)):
            say(f"{title if not i else '':<9}{plain(change)}", indent=11)
    say()
    rows = [
        [m.metric, _figure(m.before), _figure(m.after), styled("moved", "yellow") if m.moved else ""]
        for m in found.metrics
    ]
    show_table("", ("metric", "before", "after", ""), rows, right=(1, 2))
    if not found.same_rows:
        say("each was measured on its own rows: metrics may move with the rows")
    return 0


def _reproduce(place: Place, words: list[str], args: argparse.Namespace) -> int:
    _expect(words, 1, 1, "reproduce [SYSTEM] MODEL")
    from trimtab.loop.past.again import make_again
    from trimtab.wiring.kinds import source_kinds

    entry = _find(place, words[0])
    found = make_again(
        place.system, place.ledger, place.blobs, place.layout, data=place.data, entry=entry, kinds=source_kinds()
    )
    if args.json:
        emit_json(found)
    else:
        style = "bold red" if found.outcome == "different" else "green"
        gap = "" if found.difference is None else f"; scores differ by {found.difference:.2g} at most"
        say(f"{entry.fact.identity.id}: {styled(found.outcome, style)}{gap}")
        for why in found.why:
            say(f"  {plain(why)}", indent=4)
        for name, (before, after) in found.metrics.items():
            say(f"  {name}: {before} -> {after}", indent=4)
    return int(found.outcome == "different")


def _figure(found: Estimate | None) -> str:
    return "-" if found is None or found.figure is None else number(found.figure)


def _interval(found: Estimate) -> str:
    return "" if found.low is None or found.high is None else f"{number(found.low)}..{number(found.high)}"


def _expect(words: list[str], least: int, most: int, usage: str) -> None:
    if not least <= len(words) <= most:
        raise UsageError(f"write `trimtab models {usage}`")
