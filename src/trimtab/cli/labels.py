"""`trimtab labels`: what annotators said, how far they agree, what is likely wrong and what to label next."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from trimtab.cli.arguments import UsageError, add_actions, count, take_system
from trimtab.cli.figures import number
from trimtab.cli.output import emit_json, show_verdicts
from trimtab.cli.terminal import plain, say, show_table, styled
from trimtab.labels.port import LabelsError

if TYPE_CHECKING:
    from trimtab.loop.past.annotated import Labelling
    from trimtab.loop.past.stored import StoredDatasets
    from trimtab.wiring.place import Place

_ACTIONS = {
    "show": "how many labels by whom, and whether the requirements hold",
    "next": "what to label next: the items that tell most for the budget",
    "push": "hand those to the tool, with what the live model says of them",
    "pull": "take in what annotators said, and complete the rows by it",
    "contested": "the items on which annotators differ, the open ones first",
    "errors": "labels that are likely wrong, the likeliest first",
    "refused": "answers that are no labels, and why",
}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `labels`."""
    add_actions(parser, _ACTIONS, "[SYSTEM]", "")
    parser.add_argument("-n", type=count, metavar="N", help="at most N (default: 20; push: 100)")
    parser.add_argument(
        "--budget", type=_amount, metavar="MONEY", help="what next and push may cost (default: the declared one)"
    )


def run(args: argparse.Namespace) -> int:
    """Do the action; 1 where a requirement on labels is broken (`show`)."""
    from trimtab.wiring.labels import datasets_of
    from trimtab.wiring.place import open_place

    system, words = take_system(args.words)
    if words:
        raise UsageError(f"write `trimtab labels {args.action} [SYSTEM]`")
    actions: dict[str, Callable[[_Desk, argparse.Namespace], int]] = {
        "show": _show,
        "next": _next,
        "push": _push,
        "pull": _pull,
        "contested": _contested,
        "errors": _errors,
        "refused": _refused,
    }
    with open_place(system, args.state) as place:
        datasets = datasets_of(place, place.system)
        if datasets.labelling is None:
            raise LabelsError("nothing is labelled here", hint="declare [labels]")
        return actions[args.action](_Desk(place, datasets, datasets.labelling), args)


class _Desk:
    """What an action works with."""

    def __init__(self, place: Place, datasets: StoredDatasets, labelling: Labelling) -> None:
        self.place = place
        self.datasets = datasets
        self.labelling = labelling
        self.now = datetime.now(UTC)

    def rows(self) -> Any:
        """The rows that are labelled, with features where they are those that the model learns from."""
        if self.labelling.of.name == self.place.system.labelled.name:
            return self.datasets.labelled(self.now)
        store = self.datasets.stores[self.labelling.of.name]
        return store.read(gone="left out")

    def seconds(self) -> float | None:
        """What a label takes: as measured, else as declared."""
        from trimtab.labels.annotations import seconds_per_label

        found = seconds_per_label(self.labelling.store.read()) if self.labelling.store.current() else None
        return found if found is not None else self.labelling.spec.seconds_per_label


def _show(desk: _Desk, args: argparse.Namespace) -> int:
    from collections import Counter

    from trimtab.labels.resolve import reliability

    labels, spec = desk.labelling.labels(), desk.labelling.spec
    verdicts = desk.datasets.label_verdicts(desk.now)
    given = Counter(name for one in labels.said for name in one.labels)
    right: dict[str, float] = {}
    if spec.kind == "class" and labels.said:
        found, people = reliability(labels.said, spec)
        right = dict(zip(people, found.right.tolist(), strict=True))
    seconds, contested = desk.seconds(), desk.labelling.contested()
    open_ones = sum(c.settled is None for c in contested)
    paid = sum(given.values()) * spec.cost_per_label
    if args.json:
        emit_json(
            {
                "version": labels.version,
                "items": len(labels.said),
                "resolved": len(labels.resolved),
                "contested": open_ones,
                "settled": len(contested) - open_ones,
                "annotators": [{"annotator": n, "labels": c, "reliability": right.get(n)} for n, c in given.items()],
                "seconds_per_label": seconds,
                "cost": paid,
                "verdicts": verdicts,
            }
        )
        return int(any(v.status == "broken" for v in verdicts))
    say(f"{styled(spec.data, 'bold')} {spec.column} ({spec.kind}, {spec.policy}): {len(labels.said):,} items labelled")
    say(f"{len(labels.resolved):,} resolved, {open_ones:,} contested, {len(contested) - open_ones:,} settled")
    took = f", {number(seconds)} s a label" if seconds is not None else ""
    say(f"{sum(given.values()):,} labels{took}" + (f", {paid:,.2f} {_currency(desk.place)} paid" if paid else ""))
    rows = [
        [plain(name), f"{n:,}", f"{right[name]:.3f}" if name in right else "-"] for name, n in sorted(given.items())
    ]
    if rows:
        show_table("", ("annotator", "labels", "likely right"), rows, right=(1, 2))
    if verdicts:
        show_verdicts(verdicts)
    return int(any(v.status == "broken" for v in verdicts))


def _next(desk: _Desk, args: argparse.Namespace) -> int:
    from trimtab.wiring.labels import chooser

    budget = args.budget if args.budget is not None else desk.labelling.spec.budget
    limit = 20 if args.n is None else args.n or 1_000_000
    found = chooser(desk.place, desk.labelling).next(desk.rows(), limit, budget, desk.seconds())
    if args.json:
        emit_json(found)
        return 0
    if not found.wanted:
        say("nothing to label: every row has its labels" if not found.open else "the budget pays for no label")
        return 0
    rows = [
        [plain(w.item), f"{w.score:.3f}", *(f"{w.signals.get(s, 0.0):.2f}" for s in found.signals), _brief(w.guess)]
        for w in found.wanted
    ]
    columns = ("item", "score", *found.signals, "the model says")
    show_table("", columns, rows, right=tuple(range(1, 2 + len(found.signals))))
    took = f", {found.seconds / 3600:.1f} h" if found.seconds is not None else ""
    cost = f", {found.cost:,.2f} {_currency(desk.place)}" if found.cost is not None else ""
    say(f"{len(found.wanted):,} of {found.open:,} open items: {found.labels:,} labels{cost}{took}")
    return 0


def _push(desk: _Desk, args: argparse.Namespace) -> int:
    from trimtab.wiring.labels import chooser

    budget = args.budget if args.budget is not None else desk.labelling.spec.budget
    limit = 100 if args.n is None else args.n or 1_000_000
    rows, choosing = desk.rows(), chooser(desk.place, desk.labelling)
    chosen = choosing.next(rows, limit, budget, desk.seconds())
    pushed = choosing.push(rows, tuple(w.item for w in chosen.wanted))
    if args.json:
        emit_json(pushed)
    else:
        say(f"{pushed.added:,} tasks added, {pushed.there:,} were there already: {pushed.where}")
    return 0


def _pull(desk: _Desk, args: argparse.Namespace) -> int:
    from trimtab.records.journal import Draft

    with desk.place.lead():
        before = desk.labelling.labels().version
        store = desk.datasets.stores[desk.labelling.of.name]
        fact = desk.labelling.pull(store, desk.now)
        if fact is not None:
            key = f"data:{fact.dataset}:{fact.version}"
            if desk.place.ledger.get(key) is None:
                desk.place.ledger.append_all([Draft(key=key, fact=fact, at=desk.now)])
        desk.labelling.complete(store, desk.now)
        version = store.current()
        if version is not None:
            key = f"data:{version.dataset}:{version.id}"
            if desk.place.ledger.get(key) is None:
                desk.place.ledger.append_all([Draft(key=key, fact=version.fact, at=desk.now)])
    labels = desk.labelling.labels()
    if args.json:
        emit_json({"version": labels.version, "items": len(labels.said), "resolved": len(labels.resolved)})
    elif labels.version == before:
        say("nothing new was said")
    else:
        say(f"{len(labels.said):,} items labelled, {len(labels.resolved):,} resolved: version {labels.version[:10]}")
    return 0


def _contested(desk: _Desk, args: argparse.Namespace) -> int:
    found = desk.labelling.contested()
    shown = found[: args.n or None] if args.n is not None else found[:20]
    if args.json:
        emit_json(shown)
        return 0
    if not found:
        say("annotators differ on nothing")
        return 0
    rows = [
        [
            plain(c.item),
            f"{c.disagreement:.2f}",
            plain("; ".join(f"{name}: {_brief(value)}" for name, value in c.labels.items())),
            "open" if c.settled is None else f"settled: {_brief(c.settled)}",
        ]
        for c in shown
    ]
    show_table("", ("item", "apart", "who says what", "stands"), rows, right=(1,))
    if len(shown) < len(found):
        say(f"the most contested {len(shown)} of {len(found)}; `-n 0` shows all")
    return 0


def _errors(desk: _Desk, args: argparse.Namespace) -> int:
    from trimtab.wiring.labels import checker

    found = checker(desk.place).look(desk.datasets.labelled(desk.now))
    shown = found.suspects[: args.n or None] if args.n is not None else found.suspects[:20]
    if args.json:
        emit_json({"error_rate": found.error_rate, "checked": found.checked, "suspects": shown})
        return 0
    if shown:
        rows = [[plain(s.item), plain(s.label), plain(s.likely), f"{s.margin:.3f}"] for s in shown]
        show_table("", ("item", "its label", "likely", "more probable by"), rows, right=(3,))
    rate = f", an estimated {found.error_rate:.1%} are wrong" if found.error_rate is not None else ""
    say(f"{len(found.suspects):,} of {found.checked:,} labels that a model had not seen are likely wrong{rate}")
    if found.unchecked:
        say(f"{found.unchecked:,} could not be checked: every model learned from them")
    return 0


def _refused(desk: _Desk, args: argparse.Namespace) -> int:
    from trimtab.labels.annotations import refused, rows_of

    rows = desk.labelling.store.read() if desk.labelling.store.current() else rows_of(())
    found = refused(rows)
    shown = found.head(args.n) if args.n else found if args.n == 0 else found.head(20)
    if args.json:
        emit_json(shown.to_dicts())
        return 0
    if found.is_empty():
        say("no answer was refused")
        return 0
    cells = [
        [plain(r["item"] or "-"), plain(r["annotator"] or "-"), plain(r["reason"]), plain(r["given"] or "")]
        for r in shown.to_dicts()
    ]
    show_table("", ("item", "annotator", "refused because", "what was given"), cells)
    return 0


def _brief(value: Any) -> str:
    text = "-" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _currency(place: Place) -> str:
    return place.system.value.currency if place.system.value is not None else ""


def _amount(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not an amount of money")
    return value
