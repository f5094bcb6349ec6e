"""Error rates against jiwer's own, whichever clips are counted."""

from __future__ import annotations

import builtins
from typing import Any

import jiwer
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.errors import PermanentError
from trimtab.measures.metrics.answered.families import estimate_of_answers, statistic_of_answers
from trimtab.measures.metrics.answered.transcription import judge_transcripts
from trimtab.measures.metrics.resample import resampled
from trimtab.records.requirement import Value

TEXTS = st.lists(st.sampled_from(["one", "two", "three", "four"]), max_size=6).map(" ".join)
CLIPS = st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=12)


@given(clips=CLIPS, kept=st.lists(st.booleans(), min_size=12, max_size=12))
def test_rates_are_jiwers_of_whatever_clips_are_kept(clips: list[tuple[str, str]], kept: list[bool]) -> None:
    judged = judge_transcripts([said for said, _ in clips], [heard for _, heard in clips])
    chosen = np.array(kept[: len(clips)])
    some = [clip for clip, keep in zip(clips, chosen, strict=True) if keep]
    said, heard = [one for one, _ in some], [one for _, one in some]
    words = estimate_of_answers("quality.word_error_rate", judged, kept=chosen)
    characters = estimate_of_answers("quality.character_error_rate", judged, kept=chosen)
    if not any(said):
        assert words.figure is None
        assert words.reason in ("no clip has a word", "there are no labelled rows")
        return
    assert words.figure == pytest.approx(jiwer.wer(said, heard))
    assert characters.figure == pytest.approx(jiwer.cer(said, heard))
    right = estimate_of_answers("quality.accuracy", judged, kept=chosen).figure
    assert right == pytest.approx(np.mean([one == other for one, other in some]))


def test_a_bootstrap_of_sums_is_that_of_clips() -> None:
    draw = np.random.default_rng(0)
    words = ["one", "two", "three", "four", "five"]
    said = [" ".join(draw.choice(words, draw.integers(1, 9))) for _ in range(60)]
    heard = [" ".join(word for word in text.split() if draw.random() < 0.8) for text in said]
    statistic = statistic_of_answers("quality.word_error_rate", judge_transcripts(said, heard), None)
    figures = resampled(statistic, None, 60, 300, 3)
    ours = []
    for _ in range(300):
        places = draw.integers(0, 60, 60)
        ours.append(jiwer.wer([said[i] for i in places], [heard[i] for i in places]))
    assert figures.mean() == pytest.approx(np.mean(ours), abs=0.01)
    assert figures.std() == pytest.approx(np.std(ours), rel=0.2)


def test_no_error_in_a_few_clips_proves_little() -> None:
    judged = judge_transcripts(["one two"] * 20, ["one two"] * 20)
    for bootstrap in (0, 200):
        told = estimate_of_answers("quality.word_error_rate", judged, bootstrap=bootstrap)
        assert told.figure == 0.0
        assert told.high == pytest.approx(0.161, abs=0.01), "Wilson's upper limit of none in 20"


def test_case_and_punctuation_are_not_said_aloud_and_a_clip_has_a_worth() -> None:
    judged = judge_transcripts(["Hello, world!", "Goodbye."], ["hello world", "good bye"])
    assert judged.right.tolist() == [1.0, 0.0]
    assert estimate_of_answers("quality.word_error_rate", judged).figure == pytest.approx(2 / 3)
    assert judged.worth(Value(correct=2.0, wrong=-1.0)).tolist() == [2.0, -1.0]


def test_without_jiwer_one_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    there = builtins.__import__

    def missing(name: str, *rest: Any, **more: Any) -> Any:
        if name == "jiwer":
            raise ImportError(name)
        return there(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(PermanentError) as error:
        judge_transcripts(["a"], ["a"])
    assert error.value.hint == "pip install 'trimtab[speech]'"
