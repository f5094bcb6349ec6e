"""The embedded tracker holds what every tracker must."""

from __future__ import annotations

import csv

import msgspec
import pytest

from trimtab.errors import DeclarationError, PermanentError
from trimtab.experiments.folder import FolderTracker, open_folder
from trimtab.experiments.port import Told
from trimtab.experiments.spec import TrackerSpec
from trimtab.testing.trackers import SYSTEM, Shown, TrackerSuite, example


class TestFolder(TrackerSuite):
    def open(self, place):
        return FolderTracker(place)

    def shown(self, place, system):
        found = {}
        for folder in sorted((place / system).iterdir()):
            if folder.name.startswith("."):
                continue
            told = msgspec.json.decode((folder / "training.json").read_bytes(), type=Told)
            curves: dict[str, list[tuple[int, float]]] = {}
            with (folder / "points.csv").open(newline="") as file:
                for row in csv.DictReader(file):
                    curves.setdefault(row["metric"], []).append((int(row["step"]), float(row["value"])))
            files = [path for path in folder.glob("artifacts/**/*") if path.is_file()]
            training = told.training
            found[folder.name] = Shown(
                outcome=training.outcome,
                params={k: v if isinstance(v, str) else msgspec.json.encode(v).decode()
                        for k, v in training.params.items()},
                figures=training.figures,
                curves=curves,
                artifacts={str(path.relative_to(folder / "artifacts")): path.read_bytes() for path in files},
                started=training.started,
            )  # fmt: skip
        return found

    def test_it_says_where_releases_stand(self, tmp_path):
        tracker = self.open(tmp_path)
        tracker.stand(SYSTEM, {"r-1": ("live", "abc"), "r-2": ("shadow", "def")})
        tracker.stand(SYSTEM, {"r-2": ("live", "def")})
        assert msgspec.json.decode((tmp_path / SYSTEM / "releases.json").read_bytes()) == {
            "r-2": {"stage": "live", "training": "def"}
        }

    def test_a_place_that_is_a_file_is_told(self, tmp_path):
        (tmp_path / "place").write_text("")
        told, contents = example(tmp_path / "contents")
        with pytest.raises(PermanentError, match="place"):
            self.open(tmp_path / "place").write(told, contents)


def test_a_folder_without_a_name_is_refused(tmp_path):
    with pytest.raises(DeclarationError, match="names no folder"):
        open_folder(TrackerSpec(tool="folder", place=" "), tmp_path)
