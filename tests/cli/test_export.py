"""`trimtab models export` and `card`: what stands alone runs alone, says what it is, and can be served again."""

from __future__ import annotations

import hashlib
import json
import re
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from tests.cli.conftest import Cli, Place, one_line, real
from tests.cli.test_forget import PEOPLE, _master, person, staffed  # noqa: F401 - fixtures
from tests.cli.test_live import ROW

from trimtab.serving.client.sync import Client

CARD = """
[card]
intended_use = "The crew looks after pumps"
out_of_scope = ["Pumps of <other> makes"]
owner = "The pump | hall"
licence = "LicenseRef-ours"
groups = ["pump"]
"""
# Nothing but the standard library, NumPy and ONNX Runtime (with what that imports) may be imported.
ALONE = """
import sys
sys.dont_write_bytecode = True
allowed = {"numpy", "onnxruntime", "flatbuffers", "google", "packaging", "ml_dtypes"} | set(sys.stdlib_module_names)
class Guard:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] not in allowed:
            raise ImportError(f"{name} is not there")
sys.meta_path.insert(0, Guard())
exec(compile(sys.stdin.read(), "README.md", "exec"))
"""


@pytest.fixture
def exported(cli: Cli, lived: Place, tmp_path: Path) -> Path:
    """The live model as a folder."""
    text = (lived.folder / "trimtab.toml").read_text("utf-8")
    lived.write("trimtab.toml", text.replace('label = "hot"', 'label = "hot"\nlicence = "CC0-1.0"') + CARD)
    ran = cli("models", "export", lived, "r-001", "--to", tmp_path / "out")
    assert ran.code == 0, ran.said
    return tmp_path / "out"


def snippets(folder: Path) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```$", (folder / "README.md").read_text("utf-8"), re.MULTILINE | re.DOTALL)


def alone(folder: Path, script: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", ALONE], input=script, cwd=folder, capture_output=True, text=True, timeout=50, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_it_runs_with_numpy_and_onnx_runtime_alone(exported: Path, lived: Place, cli: Cli) -> None:
    (script,) = snippets(exported)
    assert len([line for line in script.splitlines() if line.strip()]) <= 10
    key, _, pump, load, outside, age, _ = lived.rows()[3].split(",")
    row = json.dumps({"pump": pump, "load": float(load), "outside": float(outside), "age": float(age)})
    asked = re.sub(r"'''.*?'''", f"'''{row}'''", script)
    assert asked != script
    score = float(alone(exported, asked).strip().strip("[]"))
    told = cli("models", "explain", lived, "r-001", "--row", key, "--json").json
    assert score == pytest.approx(told["scores"][0], abs=1e-6)
    assert 0 < float(alone(exported, script).strip().strip("[]")) < 1


def test_everything_is_there_whole_and_no_row_is(exported: Path, lived: Place) -> None:
    lines = (exported / "SHA256SUMS").read_text("utf-8").splitlines()
    told = {name: digest for digest, _, name in (line.partition("  ") for line in lines)}
    there = {str(path.relative_to(exported)) for path in exported.rglob("*") if path.is_file()}
    assert there == {*told, "SHA256SUMS"}
    contents = {name: (exported / name).read_bytes() for name in told}
    assert {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()} == told
    assert {"model.onnx", "signature.json", "code/model.py", "code/scaling.py", "params.json"} <= there
    for line in lived.rows():
        key = line.split(",")[0].encode()
        assert not any(key in content for content in contents.values())
    manifest = json.loads(contents["package.json"])
    assert set(manifest["files"]) == set(told)
    (data,) = manifest["data"]
    assert (data["dataset"], data["licence"], data["rows"] > 1000) == ("readings", "CC0-1.0", True)
    assert [column["name"] for column in data["columns"]] == ["pump", "load", "outside", "age"]
    pins = contents["requirements-train.txt"].decode()
    assert re.search(r"^scikit-learn==\d", pins, re.MULTILINE)
    assert re.search(r"^scipy==\d", pins, re.MULTILINE)  # scikit-learn needs it
    assert re.search(r"^onnxruntime==\d", contents["requirements.txt"].decode(), re.MULTILINE)
    licences = contents["LICENCES.md"].decode()
    assert re.search(r"\| scikit-learn \| [\d.]+ \| BSD", licences)
    assert "| the model and its code | LicenseRef-ours |" in licences


def test_the_card_says_what_is_declared_and_measured(exported: Path) -> None:
    text = (exported / "model_card.md").read_text("utf-8")
    _, front, body = text.split("---\n", 2)
    told = {key: json.loads(value) for key, _, value in (line.partition(": ") for line in front.strip().splitlines())}
    assert (told["license"], told["license_name"]) == ("other", "licenseref-ours")
    assert told["pipeline_tag"] == "tabular-classification"
    (result,) = told["model-index"][0]["results"]
    assert {"type", "value"} <= result["metrics"][0].keys()
    for title in (
        "Intended use",
        "Data",
        "How good it is",
        "Whom it serves",
        "What it relies on",
        "Limits",
        "Releases",
    ):
        assert f"## {title}\n" in body
    assert re.search(r"\| quality.roc_auc \| 0\.\d+ \(0\.\d+ to .+\) \| 0.500 \| ≥ 0.7 \(met\) \|", body)
    assert "The pump \\| hall" in body
    assert "| share answered positive | north |" in body
    widths = [line.count(" | ") for line in body.splitlines() if line.startswith("| share answered")]
    assert len(set(widths)) == 1
    page = (exported / "model_card.html").read_text("utf-8")
    assert "Pumps of &lt;other&gt; makes" in page
    assert "src=" not in page
    assert "http" not in page.replace("http-equiv", "").replace("http://www.w3.org/2000/svg", "")


def test_it_is_served_as_it_was(exported: Path, lived: Place, free_port: int, tmp_path: Path) -> None:
    (exported / "serve.toml").write_text(f"[serve]\nport = {free_port}\n")
    command = [sys.executable, "-m", "trimtab.cli.main", "serve", str(exported), "--json"]
    serving = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        with Client(f"http://127.0.0.1:{free_port}", system="pump-alarm") as client:
            (answer,) = client.predict([ROW], ["one"])
            score = answer.score
            assert 0 < score < 1
        ran = real("serve", exported)
        assert ran.code == 1
        assert "already serves this model" in ran.err
    finally:
        serving.send_signal(signal.SIGTERM)
        serving.communicate(timeout=40)
    assert serving.returncode == 0
    row = json.dumps(ROW)
    asked = re.sub(r"'''.*?'''", f"'''{row}'''", snippets(exported)[0])
    assert float(alone(exported, asked).strip().strip("[]")) == pytest.approx(score, abs=1e-6)


def test_a_zip_holds_the_same(cli: Cli, lived: Place, tmp_path: Path) -> None:
    to = tmp_path / "model.zip"
    told = cli("models", "export", lived, "r-001", "--to", to, "--json").json
    with zipfile.ZipFile(to) as archive:
        (top,) = {name.partition("/")[0] for name in archive.namelist()}
        assert {f"{top}/{name}" for name in [*told["files"], "SHA256SUMS"]} == set(archive.namelist())
    from trimtab.deployment.package.reading import Package

    assert Package(to).manifest.identity.id == told["model"]


def test_what_is_there_is_not_written_over(cli: Cli, lived: Place, exported: Path) -> None:
    ran = cli("models", "export", lived, "r-001", "--to", exported)
    assert ran.code == 1
    one_line(ran, "is there already", "name a folder that is not there yet")
    ran = cli("models", "export", lived, "r-001")
    assert ran.code == 2
    one_line(ran, "say where to")


@pytest.mark.parametrize(
    ("file", "said"), [("model.onnx", "model.onnx is not what SHA256SUMS says"), ("SHA256SUMS", "is not whole")]
)
def test_a_package_that_was_changed_is_not_served(cli: Cli, exported: Path, file: str, said: str) -> None:
    if file == "SHA256SUMS":
        (exported / file).unlink()
    else:
        (exported / file).write_bytes((exported / file).read_bytes() + b" ")
    ran = cli("serve", exported)
    assert ran.code == 1
    one_line(ran, said)


def test_features_of_the_users_own_go_along(lived: Place, cli: Cli, tmp_path: Path) -> None:
    code = (lived.folder / "model.py").read_text("utf-8")
    made = "import polars as pl\n\n\ndef features(rows):\n    return rows.with_columns(warm=pl.col('load') * 2)\n\n\n"
    lived.write("model.py", code.replace("from scaling", f"{made}from scaling", 1))
    assert real("run", lived).code == 0
    model = cli("models", "list", lived, "--json").json[1]["model"]["identity"]["id"]
    to = tmp_path / "out"
    assert cli("models", "export", lived, model, "--to", to).code == 0
    ask, derive = snippets(to)
    row = {"pump": "north", "load": 55.0, "outside": 17.5, "age": 6.0}
    asked = re.sub(r"pl.DataFrame\(\[.*?\],", f"pl.DataFrame([{row!r}],", derive)
    done = subprocess.run([sys.executable, "-c", asked], cwd=to, capture_output=True, text=True, timeout=50, check=True)
    features = eval(done.stdout)  # what the page prints is a literal
    assert features == {**row, "warm": 110.0}
    score = float(alone(to, re.sub(r"'''.*?'''", f"'''{json.dumps(features)}'''", ask)).strip().strip("[]"))
    assert 0 < score < 1
    assert "`features.zip`" in (to / "README.md").read_text("utf-8")


def test_nothing_personal_goes_along(staffed: Place, cli: Cli, tmp_path: Path) -> None:  # noqa: F811
    assert real("run", staffed).code == 0
    to = tmp_path / "out"
    assert cli("models", "export", staffed, "r-001", "--to", to).code == 0
    for path in to.rglob("*"):
        held = path.read_bytes() if path.is_file() else b""
        for number in range(PEOPLE):
            assert not [word for word in person(number) if word.encode() in held], path
    key = staffed.rows()[5].split(",")[0]
    told = cli("models", "explain", staffed, "r-001", "--row", key)
    assert told.code == 0
    assert not [word for number in range(PEOPLE) for word in person(number) if word in told.out]
