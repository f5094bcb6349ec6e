"""Texts against what was said: word and character error rates, counted once by jiwer, clip by clip."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from trimtab.errors import PermanentError
from trimtab.measures.arrays import Floats
from trimtab.measures.metrics.answered.sums import proportion, ratio
from trimtab.measures.metrics.statistic import Statistic
from trimtab.measures.words import spoken
from trimtab.records.requirement import Value

_SILENT = "no clip has a word"


@dataclass(frozen=True)
class Transcripts:
    """What was counted of each clip [n]: edits (substitutions, deletions, insertions) and what the truth has, of words
    and of characters, and whether the text was right as a whole."""

    word_edits: Floats
    words: Floats
    character_edits: Floats
    characters: Floats
    right: Floats

    @property
    def rows(self) -> int:
        return self.right.size

    def statistic(self, metric: str, kept: Any, part: str | None = None) -> Statistic:  # noqa: ARG002 - has no parts
        """The metric over the clips that are `kept` (a mask or slice)."""
        return _METRICS[metric](self, kept)

    def worth(self, value: Value) -> Floats:
        """What each answer is worth: `correct` where not a word is wrong, `wrong` otherwise."""
        return np.where(self.right > 0, value.correct, value.wrong) + value.per_prediction


def judge_transcripts(truths: Sequence[str], texts: Sequence[str]) -> Transcripts:
    """Compare texts with what was said. Both are taken as `spoken` writes them: lower case, without punctuation.

    Raises PermanentError where jiwer is not installed."""
    try:
        import jiwer  # here: only systems that transcribe need it
    except ImportError as error:
        raise PermanentError(
            "word error rates are counted by jiwer, which is not installed", hint="pip install 'trimtab[speech]'"
        ) from error
    said, heard = ([" ".join(spoken(one)) for one in those] for those in (truths, texts))
    if not said:
        nothing = np.zeros(0)
        return Transcripts(nothing, nothing, nothing, nothing, nothing)
    words = jiwer.process_words(said, heard)
    characters = jiwer.process_characters(said, heard)
    word_edits = _edits(words.alignments)
    return Transcripts(
        word_edits=word_edits,
        words=np.array([len(one) for one in words.references], dtype=np.float64),
        character_edits=_edits(characters.alignments),
        characters=np.array([len(one) for one in characters.references], dtype=np.float64),
        right=(word_edits == 0).astype(np.float64),
    )


def _edits(alignments: Sequence[Sequence[Any]]) -> Floats:
    """Edits of each clip: of a stretch that is not equal, the longer side."""
    return np.array(
        [
            sum(
                max(one.ref_end_idx - one.ref_start_idx, one.hyp_end_idx - one.hyp_start_idx)
                for one in clip
                if one.type != "equal"
            )
            for clip in alignments
        ],
        dtype=np.float64,
    )


_METRICS: dict[str, Callable[[Transcripts, Any], Statistic]] = {
    "quality.word_error_rate": lambda t, k: ratio(t.word_edits[k], t.words[k], _SILENT),
    "quality.character_error_rate": lambda t, k: ratio(t.character_edits[k], t.characters[k], _SILENT),
    "quality.accuracy": lambda t, k: proportion(t.right[k], np.ones_like(t.right[k]), "there are no clips"),
}
METRICS = tuple(_METRICS)
