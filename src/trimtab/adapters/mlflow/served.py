"""Runs on an MLflow server, asked for over its REST API."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from trimtab.adapters.mlflow.calls import Calls, address_of
from trimtab.adapters.mlflow.runs import TOOL, kept, moment, outcome_of, started
from trimtab.errors import DeclarationError
from trimtab.experiments.importing import FoundRun, ImportingError
from trimtab.experiments.port import TrackerError
from trimtab.records.imported import ImportedFile, Points

_RUNS_A_PAGE, _POINTS_A_PAGE, _NAMES_A_PAGE = 200, 20_000, 1000


class ServedStore:
    """One server; the place may be empty where MLFLOW_TRACKING_URI names it."""

    tool = TOOL

    def __init__(self, place: str) -> None:
        try:
            self._calls = Calls(address_of(place))
        except DeclarationError as error:
            raise ImportingError(error.message, hint=error.hint) from error
        self.place = self._calls.url
        self._models: dict[str, list[str]] = {}

    def runs(self, experiment: str) -> Iterator[FoundRun]:
        """Every run, in the order they began."""
        every = {"view_type": "ALL"}
        found = list(self._calls.pages("experiments/search", "experiments", every, _NAMES_A_PAGE))
        if experiment and experiment not in [one["name"] for one in found]:
            known = ", ".join(str(one["name"]) for one in found)
            raise ImportingError(
                f"no experiment of {self.place} is called {experiment!r}", hint=f"there are {known or 'none'}"
            )
        registered = self._registered()
        for one in sorted(found, key=lambda one: (int(one.get("creation_time", 0)), one["experiment_id"])):
            if not experiment or one["name"] == experiment:
                wanted = {"experiment_ids": [one["experiment_id"]], "run_view_type": "ALL", "order_by": ["start_time"]}
                for run in self._calls.pages("runs/search", "runs", wanted, _RUNS_A_PAGE):
                    yield self._run(run, one, registered)

    def history(self, run: FoundRun) -> Mapping[str, Points]:
        """Every point, in the order of steps."""
        return {name: self._points(run.id, name) for name in sorted(run.metrics)}

    def files(self, run: FoundRun) -> list[ImportedFile] | None:
        """Those of the run, wherever the server keeps them, and those of models that the server keeps itself."""
        try:
            own = self._listed(run.id, "")
            for name, place in self._models_of(run).items():
                own += [ImportedFile(path=f"{name}/{path}", size=size) for path, size in self._within(place, "")]
        except TrackerError:  # the server itself may not be let to the bucket
            return None
        return sorted(own, key=lambda file: file.path)

    def copy(self, run: FoundRun, path: str, target: Path) -> None:
        """Bring one."""
        name, _, rest = path.partition("/")
        place = self._models_of(run).get(name)
        with target.open("wb") as file:
            pieces = self._calls.get_file(run.id, path) if place is None else self._calls.get_kept(f"{place}/{rest}")
            file.writelines(pieces)

    def close(self) -> None:
        """Let go of the connection."""
        self._calls.close()

    def _run(
        self, told: Mapping[str, Any], experiment: Mapping[str, Any], registered: Mapping[str, list[str]]
    ) -> FoundRun:
        info, data = told["info"], told.get("data", {})
        tags = {tag["key"]: tag.get("value", "") for tag in data.get("tags", ())}
        lasts = {metric["key"]: _number(metric.get("value", 0.0)) for metric in data.get("metrics", ())}
        whole = experiment.get("lifecycle_stage") == "deleted"
        run = str(info["run_id"])
        datasets = (one.get("dataset", {}) for one in told.get("inputs", {}).get("dataset_inputs", ()))
        self._models[run] = [str(one["model_id"]) for one in told.get("outputs", {}).get("model_outputs", ())]
        return FoundRun(
            id=run,
            name=info.get("run_name") or tags.get("mlflow.runName") or run,
            experiment=experiment["name"],
            outcome=outcome_of(info.get("status", ""), "deleted" if whole else info.get("lifecycle_stage", "")),
            started=started(info.get("start_time")),
            ended=moment(info.get("end_time")),
            params={one["key"]: one.get("value", "") for one in sorted(data.get("params", ()), key=lambda p: p["key"])},
            metrics=dict(sorted(lasts.items())),
            tags=kept(tags),
            datasets=tuple(sorted(f"{one.get('name')} {one.get('digest')}" for one in datasets)),
            registered=tuple(registered.get(run, ())),
            files_at=info.get("artifact_uri", ""),
        )

    def _points(self, run: str, name: str) -> Points:
        asked = {"run_id": run, "metric_key": name}
        found = [
            (int(one.get("step", 0)), int(one.get("timestamp", 0)), _number(one.get("value", 0.0)))
            for one in self._calls.pages("metrics/get-history", "metrics", asked, _POINTS_A_PAGE, ask=True)
        ]
        found.sort(key=lambda point: point[:2])
        return Points(
            steps=tuple(step for step, _, _ in found),
            at=tuple(at for _, at, _ in found),
            values=tuple(value for _, _, value in found),
        )

    def _registered(self) -> dict[str, list[str]]:
        aliases: dict[tuple[str, str], list[str]] = {}
        for model in self._calls.pages("registered-models/search", "registered_models", {}, 100, ask=True):
            for one in model.get("aliases", ()):
                aliases.setdefault((model["name"], str(one["version"])), []).append(one["alias"])
        found: dict[str, list[str]] = {}
        for version in self._calls.pages("model-versions/search", "model_versions", {}, _NAMES_A_PAGE, ask=True):
            name, number = version["name"], str(version["version"])
            known = sorted(aliases.get((name, number), ()))
            shown = f"{name} {number}" + (f" ({', '.join(known)})" if known else "")
            found.setdefault(version.get("run_id", ""), []).append(shown)
        return {run: sorted(shown) for run, shown in found.items()}

    def _models_of(self, run: FoundRun) -> dict[str, str]:
        """Where the files of models that a run logged lie, by their names: those that the server keeps itself."""
        found = {}
        for number in self._models.get(run.id, ()):
            info = self._calls.get(f"logged-models/{number}").get("model", {}).get("info", {})
            place = self._calls.place_of(info.get("artifact_uri", ""))
            if place is not None:
                found[str(info.get("name", number))] = place
        return found

    def _listed(self, run: str, folder: str) -> list[ImportedFile]:
        """The files of a run below a folder."""
        query = {"run_id": run, **({"path": folder} if folder else {})}
        found = []
        for one in self._calls.pages("artifacts/list", "files", query, 1000, ask=True):
            if one.get("is_dir"):
                found += self._listed(run, one["path"])
            else:
                found.append(ImportedFile(path=one["path"], size=int(one.get("file_size", 0))))
        return found

    def _within(self, place: str, folder: str) -> Iterator[tuple[str, int]]:
        """The paths below a place of the server's artifacts, and their sizes."""
        for one in self._calls.list_kept(f"{place}/{folder}".rstrip("/")):
            path = f"{folder}/{one['path']}".lstrip("/")
            if one.get("is_dir"):
                yield from self._within(place, path)
            else:
                yield path, int(one.get("file_size", 0))


def _number(value: float | str) -> float | None:
    """The API tells NaN and infinities as texts."""
    found = float(value)
    return found if math.isfinite(found) else None
