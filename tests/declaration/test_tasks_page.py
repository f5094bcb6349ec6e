"""The page on tasks: every declaration on it loads, and every metric of these tasks stands there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from trimtab.declaration.load import parse
from trimtab.declaration.problems import DeclarationErrors
from trimtab.declaration.requirements.catalog import metrics
from trimtab.records.metric import is_answered
from trimtab.records.tensors import MediaModel

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "tasks.md").read_text("utf-8")
BLOCKS = dict(re.findall(r"^```toml (\w+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "model.py").write_text("def train(train, valid, params): ...\n")
    (tmp_path / "photos.py").write_text("def rows(since, until): ...\n")
    return tmp_path / "trimtab.toml"


@pytest.mark.parametrize("task", ["recognition", "transcription", "detection", "segmentation"])
def test_every_declaration_loads(task: str, place: Path) -> None:
    system = parse(BLOCKS[task], place)
    assert system.task == task
    assert isinstance(system.model.media, MediaModel)
    assert all(set(one.places) <= {"release", "live"} for one in system.requirements if one.metric[:8] == "quality.")


def test_every_metric_is_defined() -> None:
    for metric in metrics().values():
        if any(map(is_answered, metric.tasks)):
            assert f"`{metric.name}`" in PAGE


WRONG = [
    ("recognition", '"canary:10%:500", "live"', '"shadow:500", "live"', "a shadow would never be"),
    ("recognition", '"requirement_broken"', '"data_drift"', "is measured of columns and scores"),
    ("recognition", "[model.media.content]", "[model.media.contents]", 'no media column "contents"'),
    ("recognition", "image = { size = [112, 112] }", "shape = [3]", "is neither an image nor a sound"),
    ("recognition", "[model.media.content]\nimage = { size = [112, 112] }", "", "no column with files is named"),
    ("recognition", 'holdout = "7 d"', 'holdout = "7 d"\ninputs = ["path"]', "names columns, and recognition takes"),
    ("recognition", 'holdout = "7 d"', 'holdout = "7 d"\nbaseline = "mean"', '"mean" is for tables'),
    ("recognition", 'holdout = "7 d"', 'holdout = "7 d"\nclasses = ["a"]', "has no meaning for recognition"),
    ("recognition", '"quality.true_accept"', '"quality.roc_auc"', "fits binary_classification, not recognition"),
    ("recognition", "correct = 0.05", "true_positive = 0.05", "is an outcome of binary_classification"),
    ("recognition", "[requirements]", "[requirements]\nexplainable = true", "explained by the columns they come from"),
    ("recognition", "[requirements]", '[requirements]\n"labels.error_rate" = "<= 5%"', "found by scores of classes"),
    ("detection", "[requirements]", '[requirements]\n"data.balance" = ">= 5%"', "label of detection has no classes"),
    ("detection", 'classes = ["crack", "scratch"]\n', "", "detection needs the names of its classes"),
    ("detection", "image = {", "audio = { rate = 8000 } #", "is about images"),
    ("segmentation", "size = [128, 128]", 'size = [128, 128], fit = "crop"', "lies on its picture as a whole"),
    ("segmentation", "[requirements]", "[value]\ncorrect = 1.0\n[requirements]", "neither right nor wrong as a whole"),
    ("transcription", "[model.outputs", "[model.recognition]\nthreshold = 0.1\n[model.outputs", "has no meaning for"),
]


@pytest.mark.parametrize(("task", "old", "new", "said"), WRONG)
def test_what_cannot_be_had_is_refused_at_load(task: str, old: str, new: str, said: str, place: Path) -> None:
    assert old in BLOCKS[task]
    with pytest.raises(DeclarationErrors) as caught:
        parse(BLOCKS[task].replace(old, new, 1), place)
    assert [error for error in caught.value.errors if said in error.message and error.line], caught.value


def test_a_table_has_no_use_for_media(place: Path) -> None:
    text = BLOCKS["segmentation"].replace('"segmentation"', '"regression"').replace("quality.iou", "quality.mae")
    with pytest.raises(DeclarationErrors) as caught:
        parse(text, place)
    assert any("has no meaning for regression" in error.message for error in caught.value.errors)
