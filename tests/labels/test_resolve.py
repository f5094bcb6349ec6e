"""From what several people say to one label, and what stays in conflict."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.labels.annotations import Said
from trimtab.labels.measure import agreement, contested
from trimtab.labels.reliability import dawid_skene
from trimtab.labels.resolve import merged, reliability, resolve
from trimtab.labels.spec import LabelsSpec

CLASS = LabelsSpec(kind="class", data="d", column="c", classes=("x", "y", "z"))
BOX = LabelsSpec(kind="box", data="d", column="c", classes=("s",), measure="box_f1")
NUMBER = LabelsSpec(kind="regression", data="d", column="c", tolerance=1.0)
MULTI = LabelsSpec(kind="multi_label", data="d", column="c", classes=("x", "y", "z"))


def under(spec: LabelsSpec, policy: str, **more: Any) -> LabelsSpec:
    return msgspec.structs.replace(spec, policy=policy, **more)


def one(spec: LabelsSpec, **labels: Any) -> Any:
    return resolve([Said("i", labels)], spec).get("i")


def test_a_majority_decides_and_a_tie_stays_open() -> None:
    assert one(CLASS, ann="x", bob="x", cid="y") == "x"
    assert one(CLASS, ann="x", bob="y") is None
    assert one(CLASS, ann="x", bob="x", cid="y", dan="y") is None
    assert one(CLASS, ann="x", bob="y", cid="z") is None
    assert one(CLASS, ann="x") is None, "two were wanted"
    assert one(under(CLASS, "majority", annotators=1), ann="x") == "x"
    assert one(MULTI, ann=["x", "y"], bob=["x"], cid=["x", "z"]) == ["x"]
    assert one(MULTI, ann=["x"], bob=["y"]) is None
    assert one(NUMBER, ann=1.0, bob=1.5, cid=9.0) == 1.5
    assert one(NUMBER, ann=1.0, bob=9.0) is None


def test_a_trusted_word_decides() -> None:
    trusted = under(CLASS, "trusted", trusted=("lead",))
    assert one(trusted, ann="x", bob="x", lead="y") == "y"
    assert one(trusted, ann="x", bob="x") == "x"
    assert one(trusted, lead="y") == "y"


def test_under_adjudication_every_conflict_waits_for_a_person() -> None:
    adjudicated = under(CLASS, "adjudicate", trusted=("lead",), annotators=2)
    assert one(adjudicated, ann="x", bob="x", cid="y") is None
    assert one(adjudicated, ann="x", bob="x") == "x"
    assert one(adjudicated, ann="x", bob="y", lead="z") == "z"


def test_boxes_that_most_drew_are_merged() -> None:
    def drawn(*boxes: list[float]) -> list[dict[str, Any]]:
        return [{"label": "s", "box": box} for box in boxes]

    found = merged(
        [drawn([0.1, 0.1, 0.5, 0.5]), drawn([0.1, 0.1, 0.5, 0.56], [0.7, 0.7, 0.8, 0.8]), drawn([0.1, 0.1, 0.5, 0.53])]
    )
    assert found is not None
    assert [box["label"] for box in found] == ["s"]
    assert found[0]["box"] == pytest.approx([0.1, 0.1, 0.5, 0.53])
    assert merged([drawn([0.1, 0.1, 0.5, 0.5]), drawn()]) is None, "one of two drew it"
    assert merged([drawn(), drawn()]) == []
    assert one(BOX, ann=drawn([0, 0, 0.5, 0.5]), bob=drawn([0, 0, 0.5, 0.5])) == drawn([0, 0, 0.5, 0.5])


votes = st.dictionaries(st.sampled_from("abcdefg"), st.sampled_from(["x", "y", "z"]), min_size=1)


@given(votes)
def test_a_resolved_label_was_said_and_by_most(labels: dict[str, str]) -> None:
    found = one(CLASS, **labels)
    if found is not None:
        assert sum(value == found for value in labels.values()) * 2 > len(labels)


@given(votes, st.sampled_from(["majority", "trusted", "adjudicate", "weighted"]))
def test_what_all_say_is_the_label_under_every_policy(labels: dict[str, str], policy: str) -> None:
    spec = under(CLASS, policy, trusted=("zoe",) if policy in ("trusted", "adjudicate") else (), annotators=1)
    assert one(spec, **dict.fromkeys(labels, "y")) == "y"


def planted(seed: int) -> tuple[np.ndarray, list[Said]]:
    """Truth of 400 items, two careful annotators (9 of 10 right) and three who mostly guess."""
    generator = np.random.default_rng(seed)
    truth = generator.integers(0, 3, 400)
    said = []
    for number, true in enumerate(truth):
        labels = {}
        for name, right in (("ann", 0.92), ("bob", 0.9), ("cid", 0.45), ("dan", 0.45), ("eve", 0.4)):
            guess = true if generator.random() < right else (true + generator.integers(1, 3)) % 3
            labels[name] = CLASS.classes[guess]
        said.append(Said(str(number), labels))
    return truth, said


def test_weights_find_who_is_reliable_and_beat_the_vote() -> None:
    truth, said = planted(3)
    found, people = reliability(said, CLASS)
    right = dict(zip(people, found.right, strict=True))
    assert min(right["ann"], right["bob"]) > 0.85
    assert max(right["cid"], right["dan"], right["eve"]) < 0.6

    def rate(spec: LabelsSpec) -> float:
        resolved = resolve(said, spec)
        return float(np.mean([resolved.get(str(i)) == CLASS.classes[t] for i, t in enumerate(truth)]))

    assert rate(under(CLASS, "weighted")) > rate(CLASS) + 0.05
    assert rate(under(CLASS, "weighted")) > 0.88


def test_dawid_skene_gives_probabilities_and_recovers_the_confusion() -> None:
    generator = np.random.default_rng(0)
    truth = generator.integers(0, 2, 2000)
    planted_confusion = np.array([[[0.9, 0.1], [0.3, 0.7]], [[0.8, 0.2], [0.1, 0.9]], [[0.95, 0.05], [0.2, 0.8]]])
    items, people, said = [], [], []
    for number, true in enumerate(truth):
        for person in range(3):
            items.append(number)
            people.append(person)
            said.append(int(generator.random() < planted_confusion[person, true, 1]))
    found = dawid_skene(np.array(items), np.array(people), np.array(said), (2000, 3, 2))
    assert found.truth.sum(axis=1) == pytest.approx(1.0)
    assert found.confusion.sum(axis=2) == pytest.approx(1.0)
    assert np.abs(found.confusion - planted_confusion).max() < 0.08


def test_adjudication_settles_and_says_so_while_the_first_word_stays() -> None:
    spec = under(CLASS, "adjudicate", trusted=("lead",))
    agreed = [Said(str(i), {"ann": "xyz"[i % 3], "bob": "xyz"[i % 3]}) for i in range(60)]
    torn = [Said(f"t{i}", {"ann": "x", "bob": "y"}) for i in range(40)]
    settled = [Said(f"t{i}", {"ann": "x", "bob": "y", "lead": "xy"[i % 2]}) for i in range(40)]
    before, after = agreement([*agreed, *torn], spec), agreement([*agreed, *settled], spec)
    untouched = agreement([*agreed, *settled], spec, settle=False)
    assert before.figure is not None
    assert before.figure < 0.5
    assert after.figure == 1.0
    assert after.reason == "40 of 100 items were settled by adjudication"
    assert untouched.figure == before.figure
    assert [c.item for c in contested([*agreed, *torn[:2], *settled[2:4]], spec)] == ["t0", "t1", "t2", "t3"]


def test_cohens_kappa_does_not_compare_three() -> None:
    spec = under(CLASS, "majority", measure="cohen_kappa")
    found = agreement([Said("1", {"ann": "x", "bob": "y"}), Said("2", {"ann": "x", "cid": "x"})], spec)
    assert found.figure is None
    assert "3 have labelled" in found.reason


@pytest.mark.parametrize("measure", ["krippendorff_alpha", "krippendorff_alpha_ordinal", "fleiss_kappa", "cohen_kappa"])
def test_every_measure_of_classes_sees_perfect_agreement(measure: str) -> None:
    spec = under(CLASS, "majority", measure=measure)
    said = [Said(str(i), {"ann": "xyz"[i % 3], "bob": "xyz"[i % 3]}) for i in range(30)]
    assert agreement(said, spec).figure == 1.0
    assert agreement(said[:0], spec).figure is None


def test_other_kinds_are_compared_their_way() -> None:
    text = LabelsSpec(kind="transcript", data="d", column="c", measure="word_agreement")
    said = [Said("1", {"a": "one two three four", "b": "one two three"}), Said("2", {"a": "x", "b": "X."})]
    assert agreement(said, text).figure == pytest.approx((0.75 + 1) / 2)
    assert contested(said, text)[0].disagreement == pytest.approx(0.25)
    numbers = [Said(str(i), {"a": float(i), "b": float(i) + 0.1}) for i in range(20)]
    assert (agreement(numbers, NUMBER).figure or 0) > 0.99
    assert contested(numbers, NUMBER) == []
    many = [
        Said(str(i), {"a": ["x"], "b": ["x", "y"]}) if i % 2 else Said(str(i), {"a": [], "b": []}) for i in range(20)
    ]
    found = agreement(many, MULTI).figure
    assert found is not None
    assert 0 < found < 1
    box = [{"label": "s", "box": [0.0, 0.0, 0.5, 0.5]}]
    assert agreement([Said("1", {"a": box, "b": []}), Said("2", {"a": box, "b": box})], BOX).figure == 0.5
