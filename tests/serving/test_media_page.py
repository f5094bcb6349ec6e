"""docs/media.md is followed to the letter: its files are written, its model served, its questions asked."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from tests.inference.tensors import media
from tests.serving.running import until

from trimtab.declaration.model_file import load_model_file
from trimtab.records.tensors import AudioInput, Detections, ImageInput
from trimtab.wiring.serving import free_port

PAGE = (Path(__file__).parents[2] / "docs" / "media.md").read_text("utf-8")
BLOCKS = re.findall(r"^```(\w*) ?([\w.]*)\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
FILES = {name: code for _, name, code in BLOCKS if "." in name}
SHELL = [(code, how) for kind, how, code in BLOCKS if kind == "sh" and how != "serve"]
SHOWN = [json.loads(code) for kind, _, code in BLOCKS if kind == "json"]
pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")


@dataclass
class Served:
    folder: Path
    port: int

    def run(self, *command: str) -> str:
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=30, cwd=self.folder, env=environment, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("media")
    port = free_port()
    made = Served(folder, port)
    for name, code in FILES.items():
        (folder / name).write_text(code.replace("localhost:8080", f"localhost:{port}"))
    blue = np.zeros((90, 120, 3), np.uint8)
    blue[:, :, 2] = 200
    (folder / "picture.png").write_bytes(media.file_of(blue))
    made.run(sys.executable, "colours.py")
    with (folder / "colours.toml").open("a") as file:
        file.write(f"\n[serve]\nport = {port}\n")
    words = next(code for kind, how, code in BLOCKS if kind == "sh" and how == "serve").split()
    command = [sys.executable, "-m", "trimtab.cli.main", *words[1:]]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
    try:

        def answers() -> bool:
            assert process.poll() is None, (folder / "log").read_text()
            ready = ["curl", "-sf", f"localhost:{port}/v2/health/ready"]
            return subprocess.run(ready, capture_output=True, check=False).returncode == 0

        until(answers, 20.0)
        yield made
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


@pytest.mark.parametrize(("code", "how"), SHELL, ids=range(len(SHELL)))
def test_what_is_asked_is_answered_as_shown(served: Served, code: str, how: str) -> None:
    code = code.replace("localhost:8080", f"localhost:{served.port}").replace("curl ", "curl -sS ")
    told = json.loads(served.run("sh", "-ec", code))
    if how == "refused":
        assert told == SHOWN[-1]
    elif "predictions" in told:
        shown = SHOWN[0]["predictions"][0]
        (row,) = told["predictions"]
        assert row.keys() == shown.keys()
        assert row["outputs"].keys() == shown["outputs"].keys()
        assert (row["label"], row["outputs"]["sure"], row["release"]) == ("blue", True, "r-1")
    else:
        assert {one["name"]: one["data"] for one in told["outputs"]} == {"label": ["blue"], "words": ["100% sure"]}


@pytest.mark.parametrize("script", ["ask.py", "alike.py"])
def test_scripts_do_what_they_show(served: Served, script: str) -> None:
    told = served.run(sys.executable, script)
    assert told.split() if script == "ask.py" else told == "(3, 64, 64) 120 90\n"


def test_what_it_answered_is_looked_at_as_the_page_says(served: Served) -> None:
    (line,) = re.findall(r"`trimtab (telemetry show \S+)`", PAGE)
    asked = {"rows": [{"image": np.zeros((3, 64, 64), int).tolist()}], "ids": ["looked-at"]}
    (served.folder / "asked.json").write_text(json.dumps(asked))
    served.run("curl", "-sSf", f"localhost:{served.port}/predict", "-d", "@asked.json")
    assert "live" in served.run(sys.executable, "-m", "trimtab.cli.main", *line.split())
    told = served.run(sys.executable, "-m", "trimtab.cli.main", *line.split(), "looked-at")
    assert "scored by r-1 (live, model m-" in told


def test_a_model_that_is_served_is_not_served_twice(served: Served) -> None:
    again = subprocess.run(
        [sys.executable, "-m", "trimtab.cli.main", "serve", "colours.onnx"],
        cwd=served.folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert again.returncode != 0
    assert "already serves this model" in again.stderr


@pytest.mark.parametrize(
    ("head", "record"),
    [("`image = { ... }`", ImageInput), ("`audio = { ... }`", AudioInput), ("`[detections]` makes", Detections)],
)
def test_every_key_is_listed(head: str, record: type) -> None:
    table = PAGE.partition(head)[2].partition("\n\n|")[2].partition("\n\n")[0]
    heads = [row.strip("|").split("|")[0] for row in table.splitlines()]
    assert {name for cell in heads for name in re.findall(r"`(\w+)`", cell)} == set(record.__struct_fields__)


def test_every_key_of_a_model_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "model.toml"
    path.write_text(
        'name = "shelf"\ntask = "tensors"\nclasses = ["a", "b"]\nscore = "s"\nthreshold = 0.3\ntop = 1\n'
        '[inputs.i]\nshape = [3, 8, 8]\n[inputs.i.image]\nsize = [8, 8]\nfit = "pad"\ncolors = "BGR"\nlayout = "CHW"\n'
        'filter = "bicubic"\nfill = 9\nscale = 0.5\nmean = [1, 2, 3]\nstd = [1, 1, 1]\nformats = ["PNG"]\n'
        'max_bytes = "1 KiB"\nmax_pixels = 100\nmax_frames = 2\n'
        '[inputs.a.audio]\nrate = 8000\ncut = true\nformats = "FLAC"\nmax_bytes = "1 MiB"\nmax_seconds = "2 s"\n'
        "max_channels = 1\nmin_rate = 8000\nmax_rate = 8000\n"
        '[outputs.o]\napply = "l2"\nthreshold = 0.1\nanswered = false\n'
        '[detections]\nboxes = "b"\nscores = "s"\nclasses = "c"\nform = "xywh"\nrelative = true\nthreshold = 0.1\n'
        'overlap = "20%"\nmost = 3\n[serve]\nport = 81\n'
    )
    read = load_model_file(path, "model")
    image, audio = read.inputs[0].image, read.inputs[1].audio
    assert image is not None
    assert audio is not None
    assert set(image) == set(ImageInput.__struct_fields__)
    assert set(audio) == set(AudioInput.__struct_fields__)
    assert read.detections == Detections(
        boxes="b", scores="s", classes="c", form="xywh", relative=True, threshold=0.1, overlap=0.2, most=3
    )
    assert (read.name, read.serve.port, read.outputs[0].apply, image["max_bytes"]) == ("shelf", 81, "l2", 1024)
    assert audio["max_seconds"] == 2.0
