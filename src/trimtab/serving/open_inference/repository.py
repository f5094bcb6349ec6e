"""The protocol's repository and statistics extensions: which models there are, and what each has done."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from trimtab.serving.execution.metrics import Counts, Metrics
from trimtab.serving.refusals import RefusalError
from trimtab.serving.routing.desired import Desired
from trimtab.serving.routing.releases import Release


def repository_index(system: str, desired: Desired, *, ready: bool = False) -> list[dict[str, str]]:
    """One entry a model version: `name`, `version`, `state` and, where it does not answer, the `reason`. With `ready`
    only those that answer. A system without a live release has one entry without a version."""
    fleet = desired.fleet
    found = []
    if fleet.live is None:
        state = "LOADING" if desired.loading else "UNAVAILABLE"
        found.append({"name": system, "version": "", "state": state, "reason": desired.why_not_ready()})
    for release in _first_of_each_model(fleet.releases):
        answers = release.stage != "shadow"
        reason = "" if answers else "in shadow: it scores what others answer"
        found.append({"name": system, "version": release.model, "state": "READY" if answers else "UNAVAILABLE",
                      "reason": reason})  # fmt: skip
    return [one for one in found if one["state"] == "READY"] if ready else found


def model_statistics(system: str, desired: Desired, metrics: Metrics, version: str = "") -> list[dict[str, Any]]:
    """What each model version (or that one: a model or a release) did since the server started.

    `inference_count` is rows answered, `execution_count` runs of the model: several requests may share one. In
    `inference_stats` everything is counted for each request, in Triton's terms: `success` from a whole request to its
    answer, and of that `queue` until its run began, `compute_input` before the model (the user's features, decoding of
    files), `compute_infer` in it, `compute_output` until the answer was kept and made; `fail` counts rows that got
    none. `batch_stats` are of runs, by their rows (above 64 rounded up to a power of two). Moments are milliseconds
    since 1970, durations nanoseconds.
    """
    told = []
    for first in _first_of_each_model(desired.fleet.releases):
        those = [one for one in desired.fleet.releases if one.model == first.model]
        if version and not any(version in (one.model, one.release) for one in those):
            continue
        counts = [metrics.of(one.release) for one in those]
        requests, seconds = sum(sum(one.buckets) for one in counts), sum(one.seconds for one in counts)
        asked, waited, before, model = (sum(those) for those in zip(*(one.asked for one in counts), strict=True))
        told.append(
            {
                "name": system,
                "version": first.model,
                "last_inference": max(one.last for one in counts),
                "inference_count": sum(one.rows["live"] + one.rows["canary"] for one in counts),
                "execution_count": sum(one.executions for one in counts),
                "inference_stats": {
                    "success": _duration(requests, seconds),
                    "fail": _duration(sum(one.failed for one in counts), 0.0),
                    "queue": _duration(asked, waited),
                    "compute_input": _duration(asked, before),
                    "compute_infer": _duration(asked, model),
                    "compute_output": _duration(asked, max(0.0, seconds - waited - before - model)),
                },
                "batch_stats": _batches(counts),
            }
        )
    return told


def _duration(count: float, seconds: float) -> dict[str, int]:
    return {"count": int(count), "ns": int(1e9 * seconds)}


def _batches(counts: Iterable[Counts]) -> list[dict[str, Any]]:
    total: dict[int, list[float]] = {}
    for one in counts:
        for size, (runs, before, model) in one.batches.items():
            former = total.get(size, [0.0, 0.0, 0.0])
            total[size] = [former[0] + runs, former[1] + before, former[2] + model]
    return [
        {"batch_size": size, "compute_input": _duration(runs, before), "compute_infer": _duration(runs, model)}
        for size, (runs, before, model) in sorted(total.items())
    ]


def refused_move() -> RefusalError:
    """What whoever asks to load or unload a model is told."""
    return RefusalError(
        403,
        "models are not loaded or unloaded by callers: the loop moves releases, through their gates",
        hint="`trimtab promote` and `trimtab rollback` move one by hand",
    )


def add_statistics(those: Iterable[list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """The statistics of several processes as those of one: each model version once, what is counted added up."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for told in those:
        for one in told:
            key = one["name"], one["version"]
            found[key] = _added(found[key], one) if key in found else one
    return list(found.values())


def _added(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    total = dict(one)
    for key, value in other.items():
        if key == "last_inference":
            total[key] = max(one[key], value)
        elif key == "batch_stats":
            total[key] = _added_batches(one[key], value)
        elif isinstance(value, dict):
            total[key] = _added(one.get(key, {}), value)
        elif isinstance(value, int | float):
            total[key] = one.get(key, 0) + value
    return total


def _added_batches(one: list[dict[str, Any]], other: list[dict[str, Any]]) -> list[dict[str, Any]]:
    found = {batch["batch_size"]: batch for batch in one}
    for batch in other:
        size = batch["batch_size"]
        found[size] = _added(found[size], batch) | {"batch_size": size} if size in found else batch
    return [found[size] for size in sorted(found)]


def _first_of_each_model(releases: tuple[Release, ...]) -> list[Release]:
    found: dict[str, Release] = {}
    for one in releases:
        if one.model not in found or found[one.model].stage == "shadow":
            found[one.model] = one
    return list(found.values())
