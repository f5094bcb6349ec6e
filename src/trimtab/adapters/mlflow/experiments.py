"""MLflow as a tracker: a run for each training, and a registered model whose aliases say where releases stand.

A run is found by its tags, never by its name. It is begun, filled and then marked as whole (`trimtab.whole`, a digest
of what was written): one that a killed write left behind is deleted there, and written anew.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
from blake3 import blake3

from trimtab.adapters.mlflow.calls import Calls, address_of, batches
from trimtab.adapters.mlflow.model import model_files
from trimtab.adapters.mlflow.registry import Registry
from trimtab.experiments.port import Contents, Curve, Told
from trimtab.experiments.shown import figures_of, params_of, texts_of
from trimtab.experiments.spec import TrackerSpec
from trimtab.records.base import canonical_json
from trimtab.records.model import Stage

_WHOLE, _MODEL = "trimtab.whole", "trimtab.model"
_METRICS, _PARAMS, _TAGS = 1000, 100, 100
_LONGEST_VALUE = 5000
_LONGEST_KEY = 250
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_\-. :/]")
_TABLE = "trimtab"
"""The folder of a run's artifacts that holds what MLflow has no place for."""


def open_tracker(spec: TrackerSpec, folder: Path) -> MlflowTracker:  # noqa: ARG001 - the port's
    """The server of `mlflow:URL` (or of MLFLOW_TRACKING_URI). Raises DeclarationError for what is no such address."""
    return MlflowTracker(Calls(address_of(spec.place, line=spec.line)))


class MlflowTracker:
    """One server; the experiment and the registered model are called as the system is."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._experiments: dict[str, str] = {}

    def write(self, told: Told, contents: Contents) -> str:
        """Write one training as a run; the address of its page."""
        experiment = self._experiment(told.system)
        whole = blake3(canonical_json(told)).hexdigest()
        standing = None
        for run in self._runs(experiment, told.training.id):
            if standing is None and _tags(run).get(_WHOLE) == whole:
                standing = run["info"]["run_id"]
            else:
                self._calls.send("runs/delete", {"run_id": run["info"]["run_id"]})
        return self._page(experiment, standing or self._write(experiment, told, contents, whole))

    def stand(self, system: str, releases: Mapping[str, tuple[Stage, str]]) -> None:
        """Let the registered model's versions and aliases say where releases stand."""
        if not releases:
            return
        experiment = self._experiment(system)
        registry = Registry(self._calls, system)
        wanted = {training for _, training in releases.values()}
        found = ((training, run) for training in sorted(wanted) for run in self._runs(experiment, training))
        registry.stand(releases, {training: run["info"] for training, run in found if _MODEL in _tags(run)})

    def close(self) -> None:
        """Let go of the connection."""
        self._calls.close()

    def _experiment(self, name: str) -> str:
        """The number of an experiment, made where there is none."""
        if name not in self._experiments:
            found = self._calls.find("experiments/get-by-name", experiment_name=name)
            if found is None:
                made = self._calls.send("experiments/create", {"name": name})
                self._experiments[name] = str(made["experiment_id"])
            else:
                known = found["experiment"]
                if known.get("lifecycle_stage") == "deleted":
                    self._calls.send("experiments/restore", {"experiment_id": known["experiment_id"]})
                self._experiments[name] = str(known["experiment_id"])
        return self._experiments[name]

    def _runs(self, experiment: str, training: str) -> list[Any]:
        wanted = {"experiment_ids": [experiment], "filter": f"tags.`trimtab.training` = '{training}'"}
        return list(self._calls.pages("runs/search", "runs", wanted, 100))

    def _write(self, experiment: str, told: Told, contents: Contents, whole: str) -> str:
        training = told.training
        started = int(training.started.timestamp() * 1000)
        ended = started + int(training.seconds * 1000)
        made = self._calls.send(
            "runs/create",
            {
                "experiment_id": experiment,
                "run_name": training.id[:12],
                "start_time": started,
                "tags": _pairs({"trimtab.training": training.id, "trimtab.system": told.system}),
            },
        )["run"]["info"]
        run = str(made["run_id"])
        for batch in batches(_metrics(told, contents.curves(), ended), _METRICS):
            self._calls.send("runs/log-batch", {"run_id": run, "metrics": batch})
        for batch in batches(_pairs(params_of(told)), _PARAMS):
            self._calls.send("runs/log-batch", {"run_id": run, "params": batch})
        for batch in batches(_pairs(_tags_of(told)), _TAGS):
            self._calls.send("runs/log-batch", {"run_id": run, "tags": batch})
        if told.dataset:
            dataset = {
                "name": told.dataset,
                "digest": told.version[:36],
                "source_type": "trimtab",
                "source": told.version,
            }
            self._calls.send("runs/log-inputs", {"run_id": run, "datasets": [{"dataset": dataset}]})
        kept = self._files(str(made["artifact_uri"]), told, contents)
        status = "FINISHED" if training.outcome == "trained" else "FAILED"
        self._calls.send("runs/update", {"run_id": run, "status": status, "end_time": ended})
        self._calls.send("runs/log-batch", {"run_id": run, "tags": _pairs({**kept, _WHOLE: whole})})
        return run

    def _files(self, uri: str, told: Told, contents: Contents) -> dict[str, str]:
        """Send the files; tags that say what became of them. A server may take none, but have its clients write to a
        store of its own."""
        place = self._calls.place_of(uri)
        if place is None:
            return {"trimtab.artifacts": f"not sent: the server takes none for {uri}"}
        for artifact in told.training.artifacts:
            self._calls.put_file(f"{place}/{artifact.name}", contents.artifact(artifact))
        self._calls.put_file(f"{place}/{_TABLE}/training.json", msgspec.json.format(canonical_json(told), indent=2))
        patch = contents.patch()
        if patch:
            self._calls.put_file(f"{place}/{_TABLE}/code.patch", patch.encode())
        model = contents.model()
        if model is None:
            return {}
        for name, content in model_files(told, model).items():
            self._calls.put_file(f"{place}/model/{name}", content)
        return {_MODEL: "model"}

    def _page(self, experiment: str, run: str) -> str:
        return f"{self._calls.url}/#/experiments/{experiment}/runs/{run}"


def _tags(run: Mapping[str, Any]) -> dict[str, str]:
    return {tag["key"]: tag.get("value", "") for tag in run.get("data", {}).get("tags", ())}


def _tags_of(told: Told) -> dict[str, str]:
    """With those that MLflow's own pages know."""
    source = told.training.source
    own = {"mlflow.source.name": "trimtab", "mlflow.source.type": "JOB", "mlflow.source.git.commit": source.commit}
    return texts_of(told) | {name: value for name, value in own.items() if value}


def _pairs(values: Mapping[str, str]) -> list[dict[str, str]]:
    """As the API takes them: names that it takes, each its own, and values that are not too long."""
    return [{"key": _named(key), "value": _shortened(value)} for key, value in values.items()]


def _shortened(text: str) -> str:
    if len(text) <= _LONGEST_VALUE:
        return text
    digest = blake3(text.encode()).hexdigest()[:16]
    return f"{text[:_LONGEST_VALUE]}... ({len(text):,} characters, blake3 {digest})"


def _named(name: str) -> str:
    """What MLflow is to call it: itself where it may, else with `_` in place of what may not stand in a name, and a few
    digits of its digest, so that no two become one."""
    plain = _NOT_IN_NAMES.sub("_", name)[:_LONGEST_KEY]
    like_a_path = all(part not in ("", ".", "..") for part in plain.split("/"))
    if plain == name and like_a_path:
        return name
    if not like_a_path:
        plain = "_".join(part for part in plain.split("/") if part not in ("", ".", "..")) or "_"
    return f"{plain[: _LONGEST_KEY - 9]} {blake3(name.encode()).hexdigest()[:8]}"


def _metric(name: str, value: float, at: int, step: int) -> dict[str, Any]:
    return {"key": name, "value": _number(value), "timestamp": at, "step": step}


def _number(value: float) -> float | str:
    """As the API takes a number: JSON has no NaN and no infinity."""
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _metrics(told: Told, curves: Sequence[Curve], ended: int) -> Iterator[dict[str, Any]]:
    """Final figures, then every point; a figure that is called as a curve is stands below `final`."""
    titles = {curve.title for curve in curves}
    for name, figure in figures_of(told).items():
        yield _metric(_named(f"final/{name}" if name in titles else name), figure, ended, 0)
    for curve in curves:
        name = _named(curve.title)
        for step, value, at in zip(curve.steps.tolist(), curve.values.tolist(), curve.at.tolist(), strict=True):
            yield _metric(name, value, at // 1000, step)
