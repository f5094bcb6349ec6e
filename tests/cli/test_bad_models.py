"""A `model.py` that does not do its part: one training fails, in words, and the live model goes on."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.cli.conftest import Cli, Place, is_live, outcome

HEAD = "from sklearn.linear_model import LogisticRegression\n\n\ndef train(train, valid, params):\n"
CASES = {
    "raises": (f"{HEAD}    raise ValueError('no\\nway')\n", "train() raised ValueError: no way (model.py:5)"),
    "does not import": ("import no_such_library\n\n\ndef train(a, b, c): ...\n", "No module named 'no_such_library'"),
    "does not parse": ("def train(:\n", "model.py:1: not valid Python"),
    "has no train": ("def fit(train, valid, params):\n    return 1\n", "there is no function train"),
    "returns nothing": (f"{HEAD}    LogisticRegression()\n", "train() returned nothing"),
    "ends the process": (f"{HEAD}    import os\n    os._exit(0)\n", "ended with status 0 and left no result"),
    "exits": (f"{HEAD}    raise SystemExit(3)\n", "train() raised SystemExit: 3"),
    "answers NaN": (
        f"{HEAD}    model = LogisticRegression(max_iter=300).fit(train.x, train.y)\n"
        "    model.coef_[:] = float('nan')\n    return model\n",
        "validation rows with NaN or infinity",
    ),
    "of no known kind": (
        "class Mine:\n    def predict_proba(self, x): ...\n\n\ndef train(train, valid, params):\n    return Mine()\n",
        "train() returned model.Mine; expected a fitted scikit-learn, LightGBM or XGBoost model",
    ),
    "hangs": (f"{HEAD}    import time\n    time.sleep(1000)\n", "still running after its time limit of 2 s"),
    "eats memory": (
        f"{HEAD}    import numpy as np\n    kept = []\n    while True:\n        kept.append(np.ones(5_000_000))\n",
        "used more memory than its limit of 600 MiB",
    ),
    "asks for too much at once": (
        f"{HEAD}    import numpy as np\n    return np.ones(10**12)\n",
        "an allocation went beyond what the limit allows",
    ),
    "looks at other rows": (
        "from model_before import train\n\n\n"
        "def features(rows):\n    return rows.with_columns(rank=rows['load'].rank())\n",
        "column 'rank' another value for a row alone",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_the_training_fails_in_words_and_the_live_model_goes_on(cli: Cli, lived: Place, name: str) -> None:
    body, told = CASES[name]
    (lived.folder / "model.py").rename(lived.folder / "model_before.py")
    lived.write("model.py", body)
    if name == "hangs":
        lived.edit("trimtab.toml", '"60 s"', '"2 s"')
    if name == "eats memory":
        lived.edit("trimtab.toml", '"2 GiB"', '"600 MiB"')
    ran = cli("run", lived)
    assert ran.code == 1
    failed = outcome(ran, "failed")
    assert told in failed
    is_live(cli, lived)
    status = cli("status", lived)
    assert told in status.out
    assert cli("run", lived).out.count("train ") == 0, "what failed is not tried again before something changes"
    assert cli("models", "list", lived, "--json").json[0]["releases"][0]["stage"] == "live"


def test_what_it_prints_goes_to_its_log_alone(cli: Cli, lived: Place) -> None:
    """Not even a training that fails may write into the output of the verb."""
    text = (lived.folder / "model.py").read_text("utf-8")
    noise = "    import sys\n    print('\\x1b[31m' * 100_000)\n    print('{\"x\": 1}')\n    sys.stderr.write('oops')\n"
    lived.write("model.py", text.replace("    model =", f"{noise}    model =").replace("max_iter=300", "max_iter=299"))
    ran = cli("run", lived, "--json")
    assert [done["actions"] for done in ran.json["passes"]][:3] == [["collect"], ["train"], ["gate"]]
    assert "\x1b" not in ran.said
    assert "oops" not in ran.said
    lived.write("model.py", f"{HEAD}    print('the last words')\n    raise ValueError\n")
    assert cli("run", lived).code == 1
    told = cli("log", lived, "--kind", "training_failed", "--json").json
    assert "the last words" in told[-1]["fact"]["log"]


def test_the_mended_model_is_trained_at_once(cli: Cli, lived: Place) -> None:
    good = (lived.folder / "model.py").read_text("utf-8")
    lived.write("model.py", "def train(:\n")
    assert cli("run", lived).code == 1
    lived.write("model.py", good.replace("max_iter=300", "max_iter=301"))
    ran = cli("run", lived)
    assert ran.code == 0, ran.said
    assert "code_changed" in ran.out
    assert "failed" not in cli("status", lived).out


FLAKY = f"""{HEAD}    import os
    if os.path.exists({{path!r}}):
        {{does}}
    return LogisticRegression(max_iter=300).fit(train.x, train.y)
"""


def test_what_failed_is_tried_again_by_hand(cli: Cli, fresh: Place) -> None:
    """Nothing that Trimtab could see has changed: a person says that it may work now."""
    down = fresh.folder.parent / "down"
    down.touch()
    fresh.write("model.py", FLAKY.format(path=str(down), does="raise OSError('the store of labels is down')"))
    ran = cli("run", fresh)
    assert ran.code == 1
    assert "the store of labels is down" in outcome(ran, "failed")
    said = " ".join(ran.out.split())
    assert "tried again when code, hyper-parameters or rows change, or by `trimtab train`" in said
    ran = cli("run", fresh)
    assert "train " not in ran.out.partition("settled")[0]
    assert "which failed: `trimtab train` tries it again" in " ".join(ran.out.split())
    assert cli("train", fresh).code == 1, "it is still down"
    down.unlink()
    ran = cli("train", fresh, "--why", "the store of labels is up again")
    assert ran.code == 0, ran.said
    assert "became candidate r-001" in outcome(ran, "done")
    assert "`trimtab run` takes it through the gates" in ran.out
    ran = cli("train", fresh)
    assert (ran.code, "r-001 is on its way to live (candidate)" in ran.out) == (1, True)
    assert cli("run", fresh).code == 0
    is_live(cli, fresh)
    assert "failed" not in cli("status", fresh).out
    (refused,) = [cli("train", fresh, "--json").json]
    assert "was already made of the same code, hyper-parameters and data" in refused["summary"]
    assert "by hand: the store of labels is up again" in cli("log", fresh, "-n", "0").out


@pytest.mark.parametrize("does", ["os.kill(os.getpid(), 9)", "raise OSError(28, os.strerror(28))"])
def test_what_somebody_else_ended_is_begun_again_by_itself(cli: Cli, lived: Place, does: str) -> None:
    full = lived.folder.parent / "full"
    full.touch()
    lived.write("model.py", FLAKY.format(path=str(full), does=does))
    ran = cli("run", lived)
    assert ran.code == 1
    assert "it is begun again by itself, after a while" in " ".join(ran.out.split())
    assert "trains again in 10 min" in " ".join(cli("run", lived).out.split())
    is_live(cli, lived)
    full.unlink()
    later = f"{datetime.now(UTC) + timedelta(minutes=11):%Y-%m-%dT%H:%M:%SZ}"
    ran = cli("run", lived, "--at", later)
    assert "training_interrupted" in ran.out
    assert "failed" not in cli("status", lived).out
    assert [one["outcome"] for one in outcomes(cli, lived, "train")][-2:] == ["failed", "done"]


def outcomes(cli: Cli, place: Place, verb: str) -> list[dict[str, Any]]:
    """What the actions of that verb came to, in order."""
    told = cli("log", place, "-n", "0", "--kind", "action_finished", "--json").json
    return [entry["fact"] for entry in told if entry["fact"]["verb"] == verb]
