"""Runs in the SQLite file of an MLflow store, read as its tables stand.

Tables and columns that came with later versions of MLflow (datasets 2.4, aliases 2.3, logged models 3.0) are read where
they are there.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from trimtab.adapters.mlflow.runs import TOOL, files_in, kept, listed, local, moment, outcome_of, started
from trimtab.errors import TemporaryError
from trimtab.experiments.importing import FoundRun, ImportingError
from trimtab.records.imported import ImportedFile, Points

_NEEDED = ("experiments", "runs", "params", "tags", "metrics", "latest_metrics")
_RUNS = """
select r.run_uuid id, r.{name} name, e.name experiment, r.status, r.lifecycle_stage lifecycle, r.start_time started,
  r.end_time ended, r.artifact_uri uri, e.lifecycle_stage whole
from runs r join experiments e on e.experiment_id = r.experiment_id
where :experiment = '' or e.name = :experiment order by r.start_time, r.run_uuid
"""
_DATASETS = """
select d.name || ' ' || d.digest from inputs i join datasets d on d.dataset_uuid = i.source_id
where i.source_type = 'DATASET' and i.destination_type = 'RUN' and i.destination_id = :run order by 1
"""
_MODELS = """
select model_id, name, artifact_location from logged_models
where source_run_id = :run and lifecycle_stage = 'active' order by name, model_id
"""
_POINTS = """
select key, step, timestamp, value, is_nan from metrics where run_uuid = :run order by key, step, timestamp
"""


class DatabaseStore:
    """One file. Artifacts that a server keeps for its clients are looked for in `mlartifacts` beside it, as the server
    puts them there when it is not told otherwise."""

    tool = TOOL

    def __init__(self, path: Path) -> None:
        self.place = f"sqlite:///{path}"
        self._roots = {"mlflow-artifacts": path.parent / "mlartifacts"}
        self._beside = path.parent
        address = sa.URL.create("sqlite", database=f"file:{path.resolve()}", query={"mode": "ro", "uri": "true"})
        self._engine = sa.create_engine(address, poolclass=sa.NullPool)
        self._tables: dict[str, set[str]] = {}
        try:
            self._connection = self._engine.connect()
            looked = sa.inspect(self._connection)
            self._tables = {name: {c["name"] for c in looked.get_columns(name)} for name in looked.get_table_names()}
        except SQLAlchemyError as error:
            raise ImportingError(f"{path} cannot be read as a database: {_brief(error)}") from error
        missing = [name for name in _NEEDED if name not in self._tables]
        if missing:
            self.close()
            raise ImportingError(
                f"{path} is no database of MLflow, or of one before 1.8: there is no table {missing[0]!r}",
                hint="`mlflow db upgrade sqlite:///FILE` brings an old one up to date",
            )

    def runs(self, experiment: str) -> Iterator[FoundRun]:
        """Every run, in the order they began."""
        known = [str(row[0]) for row in self._all("select name from experiments order by experiment_id")]
        if experiment and experiment not in known:
            raise ImportingError(
                f"no experiment of {self.place} is called {experiment!r}", hint=f"there are {', '.join(known)}"
            )
        name = "name" if "name" in self._tables["runs"] else "run_uuid"
        for row in self._all(_RUNS.format(name=name), experiment=experiment):
            run = str(row.id)
            tags = self._pairs("tags", run)
            yield FoundRun(
                id=run,
                name=tags.get("mlflow.runName") or row.name or run,
                experiment=row.experiment,
                outcome=outcome_of(row.status, "deleted" if row.whole == "deleted" else row.lifecycle),
                started=started(row.started),
                ended=moment(row.ended),
                params=self._pairs("params", run),
                metrics={
                    m.key: None if m.is_nan else m.value
                    for m in self._all(
                        "select key, value, is_nan from latest_metrics where run_uuid = :run order by key", run=run
                    )
                },
                tags=kept(tags),
                datasets=tuple(str(r[0]) for r in self._all(_DATASETS, run=run)) if "datasets" in self._tables else (),
                registered=self._registered(run),
                files_at=row.uri or "",
            )

    def history(self, run: FoundRun) -> Mapping[str, Points]:
        """Every point, in the order of steps."""
        found: dict[str, tuple[list[int], list[int], list[float | None]]] = {}
        for key, step, at, value, nan in self._all(_POINTS, run=run.id):
            steps, moments, values = found.setdefault(key, ([], [], []))
            steps.append(step)
            moments.append(at)
            values.append(None if nan else value)
        return {
            key: Points(steps=tuple(steps), at=tuple(moments), values=tuple(values))
            for key, (steps, moments, values) in found.items()
        }

    def files(self, run: FoundRun) -> list[ImportedFile] | None:
        """Those in folders of this machine."""
        folders = self._folders(run)
        return files_in(folders) if folders or not run.files_at else None

    def copy(self, run: FoundRun, path: str, target: Path) -> None:
        """Copy one."""
        shutil.copyfile(listed(self._folders(run))[path][0], target)

    def close(self) -> None:
        """Close the file."""
        if hasattr(self, "_connection"):
            self._connection.close()
        self._engine.dispose()

    def _folders(self, run: FoundRun) -> dict[str, Path]:
        """Where the run's own artifacts lie, and those of the models that it logged."""
        places = {"": run.files_at}
        if "logged_models" in self._tables:
            places |= {f"{m.name}/": m.artifact_location for m in self._all(_MODELS, run=run.id)}
        found = (
            (begin, local(uri, self._roots) or local(str(self._beside / uri), {})) for begin, uri in places.items()
        )
        return {begin: folder for begin, folder in found if folder is not None}

    def _registered(self, run: str) -> tuple[str, ...]:
        if "model_versions" not in self._tables:
            return ()
        versions = self._all(
            "select name, version from model_versions where run_id = :run order by name, version", run=run
        )
        found = []
        for name, version in versions:
            aliases: list[str] = []
            if "registered_model_aliases" in self._tables:
                asked = (
                    "select alias from registered_model_aliases where name = :name and version = :version order by 1"
                )
                aliases = [str(row[0]) for row in self._all(asked, name=name, version=version)]
            found.append(f"{name} {version}" + (f" ({', '.join(aliases)})" if aliases else ""))
        return tuple(found)

    def _pairs(self, table: str, run: str) -> dict[str, str]:
        rows = self._all(f"select key, value from {table} where run_uuid = :run order by key", run=run)
        return {str(key): str(value or "") for key, value in rows}

    def _all(self, statement: str, **values: Any) -> list[Any]:
        try:
            return list(self._connection.execute(sa.text(statement), values))
        except SQLAlchemyError as error:
            said = _brief(error)
            if "locked" in said or "busy" in said:
                raise TemporaryError(f"{self.place} is being written to: {said}", delay=5.0) from error
            raise ImportingError(f"{self.place} cannot be read: {said}") from error


def _brief(error: SQLAlchemyError) -> str:
    return " ".join(str(getattr(error, "orig", None) or error).split())[:200]
