"""The card as Markdown, with the metadata that hubs of models read above it (YAML, as Hugging Face has it)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from trimtab.console import words
from trimtab.console.cards import words as card_words
from trimtab.console.cards.card import ModelCard

# The names that the hub knows licences by are those of SPDX in small letters, for these.
_KNOWN = ("apache-2.0", "mit", "bsd-2-clause", "bsd-3-clause", "cc0-1.0", "cc-by-4.0", "cc-by-sa-4.0", "gpl-3.0",
          "lgpl-3.0", "agpl-3.0", "mpl-2.0", "isc", "unlicense", "odbl")  # fmt: skip
_NOT_SAID = "Not declared."
_MOST_FEATURES = 20


def card_text(card: ModelCard) -> str:
    """The whole file."""
    sections = (
        ("Model", _model(card)),
        ("Intended use", _use(card)),
        ("Data", _data(card)),
        ("How good it is", _metrics(card)),
        ("What is promised, and what came", _reliability(card)),
        ("Whom it serves", _groups(card)),
        ("What it relies on", _reliance(card)),
        ("Limits", _limits(card)),
        ("Ethical considerations", _ethics(card)),
        ("What it took", _cost(card)),
        ("Releases", _releases(card)),
    )
    parts = [_front(card), f"# {_plain(card.name)}\n", f"{_plain(card.problem)}.\n"]
    for title, lines in sections:
        parts += [f"## {title}\n", *lines]
    parts.append(f"*Written by Trimtab on {words.day(card.made)}. Figures are of rows kept out of training.*\n")
    return "\n".join(parts)


def _front(card: ModelCard) -> str:
    """The metadata; JSON is YAML too."""
    fact, licence = card.model, card.told.licence
    name = licence.lower()
    told: dict[str, Any] = {}
    if licence:
        told["license"] = name if name in _KNOWN else "other"
        if name not in _KNOWN:
            told["license_name"] = "".join(c if c.isalnum() or c in ".-" else "-" for c in name)
    told |= {
        "library_name": "onnx",
        "pipeline_tag": card.pipeline,
        "tags": [card.pipeline.partition("-")[0], card.task.replace("_", "-"), "onnx", "trimtab"],
        "metrics": [figure.metric.partition(".")[2] for figure in card.figures if figure.required],
        "model-index": [
            {
                "name": card.name,
                "results": [
                    {
                        "task": {"type": card.pipeline, "name": card.problem},
                        "dataset": {
                            "type": fact.dataset,
                            "name": fact.dataset,
                            "revision": fact.dataset_version,
                            "split": "validation",
                        },
                        "metrics": [
                            {"type": one.metric.partition(".")[2], "name": one.metric, "value": one.found.figure}
                            for one in card.figures
                        ],
                    }
                ],
            }
        ],
    }
    lines = [f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in told.items() if value != []]
    return "\n".join(["---", *lines, "---", ""])


def _model(card: ModelCard) -> Iterable[str]:
    fact = card.model
    signature = fact.bundle.signature
    identity = fact.identity
    digests = ", ".join(f"{word} `{getattr(identity, word)[:12]}`" for word in ("code", "params", "data"))
    settings = ", ".join(f"{name} = {value}" for name, value in fact.params.items()) or "none"
    rows = [
        ("identity", f"`{identity.id}`: {digests}"),
        ("task", card.task.replace("_", " ")),
        ("framework", ", ".join(card.framework) or "NumPy"),
        ("file", f"ONNX, {card_words.size(card.size)}"),
        ("hyper-parameters", settings),
        ("inputs", ", ".join(card.inputs)),
        ("parity", f"{fact.parity:.2g} at most between the fitted and the exported model"),
        ("owner", ", ".join(filter(None, (card.told.owner, card.told.contact))) or "not declared"),
        ("licence", card.told.licence or "not declared"),
    ]
    if signature.classes:
        rows.insert(2, ("classes", ", ".join(signature.classes)))
    if card.task == "binary_classification":
        why = ", the one that earns the most by the declared value" if card.currency else ""
        rows.insert(3, ("threshold", f"{signature.threshold:.4g}{why}"))
    yield _table(("", ""), [(name, _plain(str(value))) for name, value in rows])


def _use(card: ModelCard) -> Iterable[str]:
    yield f"{_plain(card.told.intended_use or card.problem)}\n"
    if card.told.users:
        yield f"Users: {_plain(card.told.users)}\n"
    yield "Out of scope:\n"
    yield _list(card.told.out_of_scope) if card.told.out_of_scope else f"{_NOT_SAID}\n"


def _data(card: ModelCard) -> Iterable[str]:
    fact = card.model
    yield _table(
        ("dataset", "version", "source", "licence", "rows", "from", "to"),
        [
            (
                one.dataset, one.version[:12] or "as of each row", one.source, one.licence or "not declared",
                f"{one.rows:,}" if one.rows else "", words.day(one.start) if one.start else "",
                words.day(one.end) if one.end else "",
            )
            for one in card.data
        ],
    )  # fmt: skip
    yield (
        f"Trained on {words.day(fact.train_from)} to {words.day(fact.train_to)}, judged on "
        f"{words.day(fact.valid_from)} to {words.day(fact.valid_to)}"
        f"{', then fitted again with those rows' if fact.evaluated is not None else ''}.\n"
    )
    if card.agreement is not None:
        yield f"People who labelled agree: {words.verdict_line(card.agreement)}.\n"
    personal = [c.name for one in card.data for c in one.columns if c.personal]
    if personal:
        yield f"Personal columns among the inputs: {', '.join(personal)}. They are sealed where the data lie.\n"
    for column, slices in (card.analysis.represented if card.analysis else {}).items():
        yield f"\nRows by {column}:\n"
        yield _table(
            (column, "rows", "share", "of the population", "label"),
            [
                (
                    one.value, f"{one.rows:,}", f"{100 * one.of_all:.1f}%",
                    f"{100 * one.population:.1f}%" if one.population is not None else words.NO_FIGURE,
                    "; ".join(f"{s.label}: {100 * s.share:.1f}%" for s in one.labels[-1:]),
                )
                for one in reversed(slices[-_MOST_FEATURES:])
            ],
        )  # fmt: skip
    if unlike := card_words.unlike(card):
        yield _list(unlike)


def _metrics(card: ModelCard) -> Iterable[str]:
    rows = card.figures[0].found.rows if card.figures else 0
    yield f"On {rows:,} rows kept out of training, with 95% intervals, beside the baseline that looks at no feature:\n"
    yield _table(
        ("metric", "figure", "baseline", "required"),
        [
            (
                figure.metric, card_words.estimate(figure.found, figure.unit, figure.scale),
                words.figure(figure.baseline.figure, figure.unit, figure.scale) if figure.baseline else words.NO_FIGURE,
                card_words.required(figure) or words.NO_FIGURE,
            )
            for figure in card.figures
        ],
    )  # fmt: skip
    if card.slices:
        yield "By slice, the worst first:\n"
        yield _table(
            ("metric", "slice", "figure", "rows"),
            [(metric, part, card_words.estimate(found), f"{found.rows:,}") for metric, part, found in card.slices],
        )
    if card.live:
        yield "On answers to callers, as last measured:\n"
        yield _table(
            ("metric", "slice", "figure", "verdict"),
            [(v.metric, v.slice or "", words.verdict_line(v), v.status) for v in card.live],
        )


def _reliability(card: ModelCard) -> Iterable[str]:
    bins = card.analysis.reliability if card.analysis else ()
    if not bins:
        yield f"{card.why or 'The answers are no probabilities of one class.'}\n"
        return
    yield _table(
        ("mean score", "share that was positive", "95% interval", "rows"),
        [
            (words.significant(b.score), words.significant(b.share), words.interval(b.low, b.high), f"{b.rows:,}")
            for b in bins
        ],
    )


def _groups(card: ModelCard) -> Iterable[str]:
    groups = card.analysis.groups if card.analysis else {}
    if not groups:
        yield f"{card.why or 'No groups are declared: `groups` in `[card]` names the columns that make some.'}\n"
        return
    yield "Each group against all other rows; the intervals hold for all groups of a column together.\n"
    for column, by_metric in groups.items():
        yield f"### By {column}\n"
        yield _table(
            ("criterion", column, "figure", "elsewhere", "difference", "ratio", "rows"),
            [
                (
                    card_words.metric_name(metric), one.group, words.significant(one.figure),
                    words.significant(one.others), card_words.difference(one) + (" *" if one.apart else ""),
                    card_words.ratio(one), f"{one.rows:,}",
                )
                for metric, told in by_metric.items()
                for one in told
            ],
        )  # fmt: skip
    yield "\\* beyond chance\n"


def _reliance(card: ModelCard) -> Iterable[str]:
    told = card.analysis
    if told is None:
        yield f"{card.why}\n"
        return
    names = list(told.contributions) or sorted(told.losses, key=lambda name: -told.losses[name].figure)
    yield _table(
        ("feature", f"mean size of contribution, {told.unit}", f"{told.metric} lost when shuffled"),
        [
            (
                name,
                _between(told.contributions.get(name)),
                _between(told.losses.get(name)),
            )
            for name in names[:_MOST_FEATURES]
        ],
    )
    yield f"{_plain(told.method.replace('_', ' '))} on {told.asked:,} rows; 95% intervals.\n"


def _between(found: Any) -> str:
    if found is None:
        return words.NO_FIGURE
    return f"{words.significant(found.figure)} ({words.interval(found.low, found.high)})"


def _limits(card: ModelCard) -> Iterable[str]:
    weak = map(card_words.weakness, card.weak[:8])
    yield _list([*card.told.limits, *weak, *card_words.found(card), *card_words.breaks(card)])


def _ethics(card: ModelCard) -> Iterable[str]:
    yield f"{_plain(card.told.ethics or _NOT_SAID)}\n"
    if card.forgotten:
        yield "It learned from somebody who has asked to be forgotten since: it is to be trained again.\n"
    if card.analysis is not None and card.analysis.withheld:
        yield f"Left out of this card because it is personal: {', '.join(card.analysis.withheld)}.\n"


def _cost(card: ModelCard) -> Iterable[str]:
    told = [f"Training took {card_words.trained(card.seconds)}." if card.seconds is not None else "Not measured."]
    if card.energy is not None:
        told.append(f"About {card_words.energy(card.energy)} of energy ({card.energy_basis}).")
    yield " ".join(told) + "\n"


def _releases(card: ModelCard) -> Iterable[str]:
    if not card.moves:
        yield "It was in no release.\n"
        return
    yield _table(
        ("when", "release", "stage", "why"),
        [(words.day(move.at), move.release, move.to.replace("_", " "), move.why) for move in card.moves],
    )


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines) + "\n"


def _list(lines: Iterable[str]) -> str:
    return "\n".join(f"* {_plain(line)}" for line in lines) + "\n"


def _plain(text: str) -> str:
    """A text on one line."""
    return " ".join(text.split())
