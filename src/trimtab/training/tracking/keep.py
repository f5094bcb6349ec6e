"""Puts together what a training left and keeps it: one record, and the blobs that it names."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import polars as pl

from trimtab.records.base import canonical_json
from trimtab.records.blobs import Blobs
from trimtab.records.tracking import Artifact, Environment, Series, Training, ref_of
from trimtab.training.identity import CodeIdentity
from trimtab.training.job import TrainingJob
from trimtab.training.tracking.meter import Used
from trimtab.training.tracking.recorder import ARTIFACTS, POINTS, dropped_in
from trimtab.training.tracking.segment import points_of, read_frames
from trimtab.training.tracking.source import source_state

_AT_ONCE = 8
_LIBRARIES_OWN = (
    "loss", "valid_loss", "valid_0", "valid_1", "training", "validation_0", "validation_1", "binary_logloss",
    "multi_logloss", "binary_error", "multi_error", "logloss", "mlogloss", "merror", "error", "rmse", "mae", "auc",
    "l1", "l2",
)  # fmt: skip
"""What LightGBM, XGBoost and `fit_module` call their figures."""
WITHHELD = "artifacts: the rows are of people, and a file could hold some of them"


def keep_training(
    blobs: Blobs,
    *,
    job: TrainingJob,
    identity: str,
    code: CodeIdentity,
    used: Used,
    figures: Mapping[str, float],
    reason: str,
    environment: Environment,
    folder: Path,
) -> Training:
    """Keep what the training of `identity` left in `folder` and what was measured of it; `reason` is why it came to no
    model, empty where it did. A later training of the same identity takes the place of an earlier one's record."""
    logged = points_of(read_frames(folder / POINTS)[0])
    unnamed: tuple[str, ...] = ()
    if job.private:
        logged, unnamed = _without_names(logged, job, code)
    points = pl.concat([logged, _system_points(used.samples)])
    source = source_state(Path(job.root), code.contents)
    state = source.state
    if source.patch:
        state = msgspec.structs.replace(state, patch=blobs.put(source.patch.encode()))
    artifacts, withheld = _artifacts(blobs, folder / ARTIFACTS, job.private)
    training = Training(
        id=identity,
        outcome="failed" if reason else "trained",
        started=used.started,
        seconds=used.seconds,
        reason=reason,
        params=job.params,
        figures={name: figure for name, figure in figures.items() if math.isfinite(figure)},
        environment=environment,
        load=used.load,
        energy=used.energy,
        source=state,
        artifacts=artifacts,
        points=blobs.put(_arrow(points)) if points.height else "",
        series=_series(points),
        private=job.private,
        dropped=(*dropped_in(folder), *withheld, *unnamed),
    )
    blobs.set_ref(ref_of(identity), blobs.put(canonical_json(training)))
    return training


def _without_names(points: pl.DataFrame, job: TrainingJob, code: CodeIdentity) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """Rows are of people, and a metric may be called after one. Only those are kept whose names stand in the code, in
    the hyper-parameters, or are a library's own."""
    texts = [content.decode("utf-8", "replace") for path, content in code.contents.items() if path.endswith(".py")]
    known = " ".join((*texts, canonical_json(job.params).decode(), *_LIBRARIES_OWN))
    names = points["name"].unique().to_list()
    kept = [name for name in names if all(part in known for part in name.split("/"))]
    if len(kept) == len(names):
        return points, ()
    told = f"{len(names) - len(kept)} metrics: the rows are of people, and their names do not stand in the code"
    return points.filter(pl.col("name").is_in(kept)), (told,)


def _system_points(samples: Sequence[tuple[int, str, float]]) -> pl.DataFrame:
    """What the machine did, each series by the number of its sample."""
    schema = {"at": pl.Int64, "name": pl.String, "value": pl.Float64}
    frame = pl.DataFrame(samples, schema=schema, orient="row")
    return frame.select(
        pl.lit("system").alias("fit"), "name", pl.int_range(pl.len()).over("name").alias("step"), "value", "at"
    ).sort("name", "step")


def _arrow(points: pl.DataFrame) -> bytes:
    out = io.BytesIO()
    points.write_ipc(out, compression="zstd")
    return out.getvalue()


def _series(points: pl.DataFrame) -> tuple[Series, ...]:
    finite = pl.col("value").filter(pl.col("value").is_finite())
    told = points.group_by("fit", "name", maintain_order=True).agg(
        pl.len().alias("points"),
        pl.col("step").first().alias("first_step"),
        pl.col("step").last().alias("last_step"),
        pl.col("value").last().alias("last"),
        finite.min().alias("least"),
        finite.max().alias("greatest"),
    )
    rows = told.with_columns(pl.when(pl.col("last").is_finite()).then("last").alias("last")).to_dicts()
    return tuple(Series(**row) for row in rows)


def _artifacts(blobs: Blobs, folder: Path, private: bool) -> tuple[tuple[Artifact, ...], tuple[str, ...]]:
    files = sorted(path for path in folder.rglob("*") if path.is_file()) if folder.is_dir() else []
    if private and files:
        return (), (f"{len(files)} {WITHHELD}",)
    # At once, because each waits for the disk: flushes that wait together are one.
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        digests = list(pool.map(blobs.put_file, files))
    named = ((path.relative_to(folder).as_posix(), digest) for path, digest in zip(files, digests, strict=True))
    return tuple(Artifact(name=name, digest=digest, size=blobs.size(digest)) for name, digest in named), ()
