"""The user's `postprocess(outputs)` is kept with the model, tried before it is relied on, and part of its identity."""

from __future__ import annotations

import numpy as np
import pytest
from tests.training.outcomes import QUICK, Job, Real, refused, trained

from trimtab.inference.postprocess_code import load_postprocess, postprocess
from trimtab.records.blobs import Blobs
from trimtab.training.identity import code_digest
from trimtab.training.trainer import Trainer

WORDS = """
from words import LIMIT

def unused():
    return 1

def postprocess(outputs):
    return {"said": ["yes" if one >= LIMIT else "no" for one in outputs["scores"]]}
"""
FILES = {"words.py": "import math\nLIMIT = math.sqrt(0.25)\nOTHER = 3\n"}


def test_it_is_kept_with_what_it_needs_and_nothing_else(trainer: Trainer, job: Job, real: Real, blobs: Blobs) -> None:
    made = trained(trainer.train(job(QUICK + WORDS, files=FILES), *real("binary_classification")))
    bundle = made.fact.bundle
    assert bundle.features_code is None
    assert bundle.entry == "model"
    assert isinstance(bundle.postprocess_code, str)
    function = load_postprocess(blobs.get(bundle.postprocess_code), bundle.entry)
    found = postprocess(function, {"scores": np.float32([0.2, 0.7])}, 2)
    assert found == [{"said": "no"}, {"said": "yes"}]
    assert b"sklearn" not in blobs.get(bundle.postprocess_code)


def test_a_model_without_one_is_what_it_was(trainer: Trainer, job: Job, real: Real) -> None:
    made = trained(trainer.train(job(QUICK), *real("binary_classification")))
    assert not made.fact.bundle.postprocess_code
    assert made.fact.bundle.entry == ""


def test_it_is_part_of_the_identity(job: Job, tmp_path: object) -> None:
    def digest(source: str, files: dict[str, str]) -> str:
        from pathlib import Path

        made = job(source, files=files)
        return code_digest(Path(made.code), Path(made.root)).digest

    before = digest(QUICK + WORDS, FILES)
    assert digest(QUICK + WORDS + "\n# a comment\n", FILES) == before
    assert digest(QUICK + WORDS.replace("return 1", "return 2"), FILES) == before
    assert digest(QUICK + WORDS.replace('"yes"', '"si"'), FILES) != before
    assert digest(QUICK + WORDS, {"words.py": FILES["words.py"].replace("0.25", "0.5")}) != before
    assert digest(QUICK, FILES) != before


@pytest.mark.parametrize(("body", "message"), [
    ("return None", "returned NoneType; expected a dict"),
    ("return outputs['nothing']", "postprocess(outputs) raised KeyError: 'nothing'"),
    ("return {'n': [1, 2]}", "returned 2 values for 'n', and there are 143 rows"),
    ("return {'rank': outputs['scores'].argsort().argsort()}", "makes something else of a row alone"),
    ("import random; return {'x': [random.random() for _ in outputs['scores']]}", "it gives other values when it is"),
])  # fmt: skip
def test_one_that_goes_wrong_is_refused(trainer: Trainer, job: Job, real: Real, body: str, message: str) -> None:
    source = QUICK + f"\ndef postprocess(outputs):\n    {body}\n"
    told = refused(trainer.train(job(source), *real("binary_classification")))
    assert message in told
