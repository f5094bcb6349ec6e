"""Runs in the folder of an MLflow store without a database (`mlruns`): a small file for each value."""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from trimtab.adapters.mlflow.runs import TOOL, files_in, kept, listed, local, moment, outcome_of, started
from trimtab.errors import PermanentError
from trimtab.experiments.importing import FoundRun, ImportingError
from trimtab.records.imported import ImportedFile, Points

_META = "meta.yaml"
_STATUS = {1: "RUNNING", 2: "SCHEDULED", 3: "FINISHED", 4: "FAILED", 5: "KILLED"}


class FolderStore:
    """One folder. It may have been moved: what its files say of absolute paths is not followed where the files are."""

    tool = TOOL

    def __init__(self, home: Path) -> None:
        try:
            import yaml  # not before a folder is read
        except ModuleNotFoundError as error:
            raise PermanentError(
                "a folder of MLflow cannot be read without the package 'yaml'", hint="pip install 'trimtab[mlflow]'"
            ) from error
        self.place = f"file://{home.resolve()}"
        self._home = home
        self._load = yaml.safe_load
        self._mistake: type[Exception] = yaml.YAMLError
        if not any(home.glob(f"*/{_META}")):
            raise ImportingError(f"{home} is no folder of MLflow: no experiment in it has a {_META}")

    def runs(self, experiment: str) -> Iterator[FoundRun]:
        """Every run, in the order they began."""
        metas = [*self._home.glob(f"*/{_META}"), *self._home.glob(f".trash/*/{_META}")]
        told = {meta.parent: self._meta(meta) for meta in sorted(metas)}
        found = {folder: meta for folder, meta in told.items() if "experiment_id" in meta}
        known = [str(meta["name"]) for meta in found.values()]
        if experiment and experiment not in known:
            raise ImportingError(
                f"no experiment of {self.place} is called {experiment!r}", hint=f"there are {', '.join(known)}"
            )
        registered = self._registered()
        for folder, meta in found.items():
            if not experiment or meta["name"] == experiment:
                yield from self._of(folder, meta, registered)

    def history(self, run: FoundRun) -> Mapping[str, Points]:
        """Every point, in the order of steps."""
        return {name: _points(lines) for name, lines in self._metrics(self._folder(run)).items()}

    def files(self, run: FoundRun) -> list[ImportedFile] | None:
        """Those in folders of this machine."""
        folders = self._folders(run)
        return files_in(folders) if "" in folders else None

    def copy(self, run: FoundRun, path: str, target: Path) -> None:
        """Copy one."""
        shutil.copyfile(listed(self._folders(run))[path][0], target)

    def close(self) -> None:
        """There is nothing to give back."""

    def _of(self, folder: Path, meta: Mapping[str, Any], registered: Mapping[str, list[str]]) -> Iterator[FoundRun]:
        name, whole = str(meta["name"]), meta.get("lifecycle_stage") != "deleted"
        found: list[FoundRun] = []
        for place in sorted(path.parent for path in folder.glob(f"*/{_META}")):
            try:
                told = self._meta(place / _META)
                if "run_id" in told:
                    found.append(self._run(place, told, name, whole, registered))
            except ImportingError:
                found.append(FoundRun(id=place.name, name="", experiment=name, outcome="damaged", started=started(0)))
        yield from sorted(found, key=lambda run: (run.started, run.id))

    def _run(
        self, place: Path, told: Mapping[str, Any], experiment: str, whole: bool, registered: Mapping[str, list[str]]
    ) -> FoundRun:
        run, tags = str(told["run_id"]), _texts(place / "tags")
        last = {name: _points(lines).values for name, lines in self._metrics(place).items()}
        lifecycle = str(told.get("lifecycle_stage")) if whole else "deleted"
        return FoundRun(
            id=run,
            name=tags.get("mlflow.runName") or str(told.get("run_name") or run),
            experiment=experiment,
            outcome=outcome_of(_STATUS.get(told.get("status", 0), ""), lifecycle),
            started=started(told.get("start_time")),
            ended=moment(told.get("end_time")),
            params=_texts(place / "params"),
            metrics={name: values[-1] for name, values in last.items() if values},
            tags=kept(tags),
            datasets=tuple(self._datasets(place)),
            registered=tuple(registered.get(run, ())),
            files_at=str(told.get("artifact_uri", "")),
        )

    def _folder(self, run: FoundRun) -> Path:
        return next(iter([*self._home.glob(f"*/{run.id}"), *self._home.glob(f".trash/*/{run.id}")]))

    def _folders(self, run: FoundRun) -> dict[str, Path]:
        """Where the run's own artifacts lie, and those of the models that it logged."""
        folder = self._folder(run)
        own = folder / "artifacts"
        places = {"": own if own.is_dir() else local(run.files_at, {})}
        for meta in sorted(folder.parent.glob(f"models/*/{_META}")):
            told = self._meta(meta)
            if told.get("source_run_id") == run.id:
                own = meta.parent / "artifacts"
                there = own if own.is_dir() else local(str(told.get("artifact_location", "")), {})
                places[f"{told.get('name', meta.parent.name)}/"] = there
        return {begin: place for begin, place in places.items() if place is not None}

    def _datasets(self, run: Path) -> Iterator[str]:
        for meta in sorted(run.glob(f"inputs/*/{_META}")):
            told = self._meta(meta)
            described = run.parent / "datasets" / str(told.get("source_id")) / _META
            if told.get("source_type") == "DATASET" and described.is_file():
                dataset = self._meta(described)
                yield f"{dataset.get('name')} {dataset.get('digest')}"

    def _registered(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for meta in sorted(self._home.glob(f"models/*/version-*/{_META}")):
            told, model = self._meta(meta), meta.parents[1]
            version = str(told.get("version"))
            there = [path for path in sorted(model.glob("aliases/*")) if path.is_file()]
            aliases = [path.name for path in there if _text(path) == version]
            shown = f"{told.get('name')} {version}" + (f" ({', '.join(aliases)})" if aliases else "")
            found.setdefault(str(told.get("run_id")), []).append(shown)
        return found

    def _metrics(self, run: Path) -> dict[str, list[str]]:
        return {name: text.splitlines() for name, text in _texts(run / "metrics").items()}

    def _meta(self, path: Path) -> dict[str, Any]:
        try:
            told = self._load(_text(path))
        except self._mistake as error:
            raise ImportingError(f"{path} cannot be read as YAML") from error
        if not isinstance(told, dict):
            raise ImportingError(
                f"{path} does not describe anything", hint="a disk that was full may leave such a file"
            )
        return told


def _texts(folder: Path) -> dict[str, str]:
    """What the files below a folder hold, by their path there, which is the name of what they hold."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()] if folder.is_dir() else []
    return {path.relative_to(folder).as_posix(): _text(path) for path in files}


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ImportingError(f"{path} cannot be read: {error}") from error


def _points(lines: list[str]) -> Points:
    """`moment value step` in each line, in the order of steps; a line that a full disk cut short is none, and one that
    stands there twice, as MLflow writes it when a model is logged, is one."""
    told = dict.fromkeys(tuple(line.split()[:3]) for line in lines)
    try:
        found = [
            (int(words[2]) if len(words) > 2 else 0, int(words[0]), float(words[1])) for words in told if len(words) > 1
        ]
    except ValueError as error:
        raise ImportingError(f"a metric cannot be read: {error}") from error
    found.sort(key=lambda point: point[:2])
    return Points(
        steps=tuple(step for step, _, _ in found),
        at=tuple(at for _, at, _ in found),
        values=tuple(value if math.isfinite(value) else None for _, _, value in found),
    )
