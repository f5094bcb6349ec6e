"""MLflow's registry of models: a version for each model that became a release, and aliases that say where they stand.

`champion` is the live version and `challenger` the one on its way there (in canary, in shadow or a candidate); the
stages themselves are aliases too. MLflow's own stages are deprecated, and not touched.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trimtab.adapters.mlflow.calls import Calls
from trimtab.records.model import Stage

_ALIASES: tuple[tuple[str, tuple[Stage, ...]], ...] = (
    ("champion", ("live",)),
    ("challenger", ("canary", "shadow", "candidate")),
    ("live", ("live",)),
    ("canary", ("canary",)),
    ("shadow", ("shadow",)),
    ("candidate", ("candidate",)),
)
"""Each alias, and the stages it may stand for, the first that is taken."""
_TRAINING, _RELEASE, _STAGE = "trimtab.training", "trimtab.release", "trimtab.stage"


class Registry:
    """The registered model of one system."""

    def __init__(self, calls: Calls, name: str) -> None:
        self._calls = calls
        self._name = name

    def stand(self, releases: Mapping[str, tuple[Stage, str]], runs: Mapping[str, Mapping[str, Any]]) -> None:
        """Make versions of what has none yet, and move tags and aliases: `runs` tells of each training's run its id and
        where its artifacts lie."""
        if self._calls.find("registered-models/get", name=self._name) is None:
            self._calls.send("registered-models/create", {"name": self._name})
        versions = self._versions()
        standing: dict[Stage, str] = {}
        for release, (stage, training) in releases.items():
            if training not in versions and training in runs:
                versions[training] = self._made(training, runs[training])
            if training in versions:
                standing[stage] = versions[training]["version"]
                self._tag(versions[training], {_RELEASE: release, _STAGE: stage})
        self._point(standing)

    def _versions(self) -> dict[str, Any]:
        """The versions by the training they are of."""
        quoted = self._name.replace("'", "''")
        wanted = {"filter": f"name='{quoted}'"}
        found = self._calls.pages("model-versions/search", "model_versions", wanted, 1000, ask=True)
        tagged = [(_pairs(version).get(_TRAINING, ""), version) for version in found]
        return {training: version for training, version in tagged if training}

    def _made(self, training: str, run: Mapping[str, Any]) -> Any:
        body = {
            "name": self._name,
            "source": f"{run['artifact_uri']}/model",
            "run_id": run["run_id"],
            "tags": [{"key": _TRAINING, "value": training}],
        }
        return self._calls.send("model-versions/create", body)["model_version"]

    def _tag(self, version: Mapping[str, Any], wanted: Mapping[str, str]) -> None:
        there = _pairs(version)
        for key, value in wanted.items():
            if there.get(key) != value:
                body = {"name": self._name, "version": version["version"], "key": key, "value": value}
                self._calls.send("model-versions/set-tag", body)

    def _point(self, standing: Mapping[Stage, str]) -> None:
        model = self._calls.get("registered-models/get", name=self._name)["registered_model"]
        there = {one["alias"]: str(one["version"]) for one in model.get("aliases", ())}
        for alias, stages in _ALIASES:
            version = next((standing[stage] for stage in stages if stage in standing), None)
            if version is None and alias in there:
                self._calls.send("registered-models/alias", {"name": self._name, "alias": alias}, "DELETE")
            elif version is not None and there.get(alias) != version:
                body = {"name": self._name, "alias": alias, "version": version}
                self._calls.send("registered-models/alias", body)


def _pairs(version: Mapping[str, Any]) -> dict[str, str]:
    return {tag["key"]: tag.get("value", "") for tag in version.get("tags", ())}
