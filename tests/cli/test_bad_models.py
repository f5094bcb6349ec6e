"""A `model.py` that does not do its part: one training fails, in words, and the live model goes on."""

from __future__ import annotations

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
