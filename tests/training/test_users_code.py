"""Users' code that is wrong: each kind is refused in words that name it, and leaves nothing behind."""

from __future__ import annotations

import pytest
from tests.training.outcomes import QUICK, Job, Real, refused, trained

from trimtab.errors import DeclarationError, PermanentError
from trimtab.records.blobs import Blobs
from trimtab.records.requirement import Requirement, Value
from trimtab.training.trainer import Trainer
from trimtab.training.user_code import users


def body(line: str) -> str:
    return f"import os, sys, time\nimport numpy as np\ndef train(train, valid, params):\n    {line}\n"


NOTHING = body("return None")
NOISE = "import sys, os\nprint('{' * 100); sys.stderr.write('noise\\n'); os.write(1, b'raw\\n')\n" + QUICK
BAD = {
    "raises": (body("raise ValueError('bad luck')"), {}, "train() raised ValueError: bad luck (model.py:4)"),
    "raises on import": ("1 / 0\n" + QUICK, {}, "model.py cannot be imported: it raised ZeroDivisionError"),
    "exits": (body("sys.exit(0)"), {}, "train() raised SystemExit: 0"),
    "dies": (body("os._exit(3)"), {}, "ended with status 3 and left no result"),
    "is killed": (body("os.kill(os.getpid(), 11)"), {}, "killed by signal 11 (SIGSEGV)"),
    "hangs": (body("time.sleep(600)"), {"time_limit": 2.0}, "still running after its time limit of 2 s"),
    "eats memory": (
        body("keep = [np.ones(2**22) for _ in range(400)]; time.sleep(9)"),
        {"memory_limit": 600 * 2.0**20},
        "it used more memory than its limit of 600 MiB",
    ),
    "asks for far too much": (body("np.ones(2**40)"), {}, "it ran out of memory"),
    "returns junk": (body("return 'a model'"), {}, "train() returned builtins.str; expected a fitted"),
    "answers NaN": (
        "from sklearn.linear_model import LinearRegression\ndef train(train, valid, params):\n"
        "    model = LinearRegression().fit(train.x[:, :10], train.y)\n    model.coef_[:] = float('nan')\n"
        "    return model\n",
        {"task": "regression", "inputs": tuple(f"f{i}" for i in range(10))},
        "the model answers 111 of 111 validation rows with NaN or infinity",
    ),
    "is exported wrongly": (
        "from sklearn.calibration import CalibratedClassifierCV\nfrom sklearn.linear_model import LogisticRegression\n"
        "from sklearn.pipeline import make_pipeline\nfrom sklearn.preprocessing import StandardScaler\n"
        "def train(train, valid, params):\n    inner = make_pipeline(StandardScaler(), LogisticRegression())\n"
        "    return CalibratedClassifierCV(inner, cv=2).fit(train.x, train.y)\n",
        {},
        "the exported model differs from the fitted one by",
    ),
    "looks at other rows": (
        "import polars as pl\ndef features(rows):\n"
        "    return rows.with_columns(pl.col('f3') - pl.col('f3').mean())\n" + QUICK,
        {},
        "gives column 'f3' another value for a row alone than among other rows",
    ),
    "has a metric that is no number": (
        QUICK,
        {"requirements": (Requirement(metric="quality.precision", comparison=">=", limit=0.5),),
         "value": Value(true_positive=-1.0, true_negative=1.0)},
        "quality.precision is not a number",
    ),
    "slices by a column that is missing": (
        NOTHING,
        {"requirements": (Requirement(metric="quality.recall", comparison=">=", limit=0.5, by="carrier"),)},
        "column 'carrier' of requirement quality.recall is missing",
    ),
    "has an input that is missing": (NOTHING, {"inputs": ("f0", "nope")}, "input column 'nope' is missing"),
    "has the label as an input": (NOTHING, {"inputs": ("f0", "y")}, "the label 'y' cannot be an input"),
    "has an unknown baseline": (NOTHING, {"baseline": "oracle"}, "no baseline 'oracle'"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_code_that(trainer: Trainer, blobs: Blobs, job: Job, real: Real, name: str) -> None:
    source, settings, reason = BAD[name]
    asked = job(source, **settings)
    train, valid = real(asked.task)
    result = trainer.train(asked, train, valid)
    assert reason in refused(result)
    assert trainer.known(result.fact.identity.id) is None
    assert not list(blobs.root.glob("refs/model-*"))
    assert not list(trainer._work.iterdir())
    if "train() raised ValueError" in reason:
        assert "bad luck" in result.fact.log
        assert str(trainer._work) not in result.fact.log


def test_code_that_prints_anything_is_no_matter(trainer: Trainer, job: Job, real: Real) -> None:
    trained(trainer.train(job(NOISE), *real("binary_classification")))


def test_code_that_does_not_parse_is_an_error_of_the_declaration(trainer: Trainer, job: Job, real: Real) -> None:
    with pytest.raises(DeclarationError, match="not valid Python"):
        trainer.train(job("def train(:\n"), *real("binary_classification"))


def test_a_library_that_is_missing_says_what_brings_it() -> None:
    for name, hint in (("xgboost.core", "pip install 'trimtab[xgboost]'"), ("torch", "pip install 'trimtab[torch]'")):
        with pytest.raises(PermanentError, match="raised ModuleNotFoundError") as refusal, users("model.py"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        assert refusal.value.hint == hint
    with pytest.raises(PermanentError) as refusal, users("model.py"):
        raise ModuleNotFoundError("No module named 'own'", name="own")
    assert not refusal.value.hint
