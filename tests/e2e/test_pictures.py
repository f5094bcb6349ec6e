"""Boxes and masks all the way: trained by the loop on damage drawn over real photos, gated, served, and judged by other
people's code in what is answered over HTTP."""

from __future__ import annotations

import base64
import json
import runpy
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import jaccard_score
from tests.adapters.nimfa.test_faces import serving, trimtab
from tests.measures.metrics.answered.test_detection import summary

from trimtab.measures.metrics.answered.detection import Boxes
from trimtab.serving.client.sync import Client
from trimtab.wiring.serving import free_port

pytestmark = pytest.mark.slow
SYSTEMS = Path(__file__).resolve().parents[1] / "systems"
PHOTOS: dict[str, Any] = runpy.run_path(str(SYSTEMS / "surfaces" / "photos.py"))
SIDE, FIRST = PHOTOS["SIDE"], PHOTOS["COUNT"]


def settled(name: str, tmp_path: Path) -> tuple[Path, dict[str, Any]]:
    """A system whose first model is live, and what the ledger says of it."""
    folder = tmp_path / name
    shutil.copytree(SYSTEMS / name, folder)
    shutil.copy2(SYSTEMS / "surfaces" / "photos.py", folder)
    toml = folder / "trimtab.toml"
    toml.write_text(toml.read_text("utf-8").replace("8080", str(free_port())), "utf-8")
    ran = trimtab("run", folder)
    assert "r-001 is live: passed" in ran, ran
    (entry,) = json.loads(trimtab("models", "list", folder, "--json"))
    return folder, entry["model"]


def answered(client: Client, pictures: list[np.ndarray[Any, Any]]) -> list[dict[str, Any]]:
    """What a server says of pictures that are sent as PNG files."""
    rows = [{"picture": base64.b64encode(PHOTOS["png"](one)).decode()} for one in pictures]
    return [dict(one.outputs or {}) for one in client.predict(rows)]


@pytest.mark.timeout(300)
def test_masks(tmp_path: Path) -> None:
    folder, model = settled("surfaces", tmp_path)
    figures, baseline = ({name: e["figure"] for name, e in model[kind].items()} for kind in ("metrics", "baseline"))
    assert figures["quality.iou"] > 0.6 > baseline["quality.iou"]
    assert set(model["slices"]) == {"quality.iou|class=clean", "quality.iou|class=scratched"}
    new = [PHOTOS["scratched"](number) for number in range(FIRST, FIRST + 30)]
    with serving(folder, "surfaces") as client:
        answers = answered(client, [picture for picture, _ in new])
        large = PHOTOS["png"](np.kron(new[0][0], np.ones((3, 2, 1), np.uint8)))
        (told,) = client.predict([{"picture": base64.b64encode(large).decode()}])
    masks = np.array([answer["mask"] for answer in answers])
    assert masks.shape == (30, SIDE, SIDE)
    served = jaccard_score(np.concatenate([mask.ravel() for _, mask in new]), masks.ravel())
    judged = model["slices"]["quality.iou|class=scratched"]["figure"]
    assert served > judged - 0.15, "the shipped model has also learned from what the other was judged by"
    assert np.shape(dict(told.outputs or {})["mask"]) == (SIDE, SIDE)
    assert "identical" in trimtab("models", "reproduce", folder, model["identity"]["id"])


@pytest.mark.timeout(300)
def test_boxes(tmp_path: Path) -> None:
    folder, model = settled("marks", tmp_path)
    figures, baseline = ({name: e["figure"] for name, e in model[kind].items()} for kind in ("metrics", "baseline"))
    assert figures["quality.average_precision_50"] > 0.35 > 0.05 > baseline["quality.average_precision_50"]
    assert figures["value.per_1000"] > baseline["value.per_1000"]
    new = [PHOTOS["damaged"](number) for number in range(FIRST, FIRST + 40)]
    twice = [np.kron(picture, np.ones((2, 2, 1), np.uint8)) for picture, _ in new]
    with serving(folder, "marks") as client:
        answers = answered(client, twice)
    names = {"hole": "crack", "stain": "scratch"}  # as the summary of the other test calls them
    truths = [
        Boxes(np.array([one["box"] for one in boxes]).reshape(-1, 4) * 2 * SIDE, [names[b["label"]] for b in boxes])
        for _, boxes in new
    ]
    found = [
        Boxes(
            np.array(one["boxes"], dtype=float).reshape(-1, 4),
            [names[label] for label in one["labels"]],
            np.array(one["scores"]),
        )
        for one in answers
    ]
    served = summary(truths, found)["quality.average_precision_50"]
    assert served > 0.3, "boxes are answered in pixels of the picture that was sent"
    assert "identical" in trimtab("models", "reproduce", folder, model["identity"]["id"])
