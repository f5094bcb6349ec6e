"""The package of Weights & Biases at work, in a process of its own."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from trimtab.adapters.own_process import CannotBeReached, Refused, answer, place_within

_PATCH = "trimtab/code.patch"


def main() -> None:
    """Do the job that comes in."""
    answer(_write)


def _write(job: dict[str, Any]) -> str:
    """One training as a run; its folder, or its address."""
    import wandb
    from wandb.errors import AuthenticationError, CommError, UsageError

    try:
        run = wandb.init(
            project=job["project"],
            entity=job["entity"] or None,
            id=job["id"],
            name=job["training"][:12],
            group=job["group"],
            job_type="training",
            tags=[job["outcome"]],
            config={**job["params"], "trimtab": _nested(job["texts"])},
            mode=job["mode"],
            resume="allow" if job["mode"] == "online" else None,
            dir=job["home"],
            settings=_settings(),
        )
    except AuthenticationError as error:
        raise Refused("it refuses the key that WANDB_API_KEY holds") from error
    except UsageError as error:
        raise Refused(str(error)) from error
    except (CommError, TimeoutError) as error:
        raise CannotBeReached(f"it cannot be reached ({type(error).__name__})") from error
    for step, row in _rows(job["curves"]):
        run.log(row, step=step)
    run.summary.update(_summary(job))
    held = Path(run.dir)
    for name, path in job["files"].items():
        shutil.copyfile(path, place_within(held, name))
        run.save(str(held / name), base_path=str(held), policy="end")
    if job["patch"]:
        place_within(held, _PATCH).write_text(job["patch"], "utf-8")
        run.save(str(held / _PATCH), base_path=str(held), policy="end")
    if job["model"] is not None:
        model = wandb.Artifact(job["system"], type="model", metadata={"training": job["training"]})
        model.add_file(job["model"], name="model.onnx", policy="mutable")  # a copy: the file is gone when this ends
        run.log_artifact(model, aliases=[job["training"][:12]])
    where = str(run.url) if job["mode"] == "online" else str(held.parent)
    run.finish(exit_code=0 if job["outcome"] == "trained" else 1)
    return where


def _settings() -> Any:
    """Nothing is gathered: no host, user, program, arguments, packages, code or loads."""
    import wandb

    return wandb.Settings(
        console="off",
        disable_code=True,
        disable_git=True,
        disable_job_creation=True,
        host="",
        program="",
        save_code=False,
        silent=True,
        username="",
        x_disable_machine_info=True,
        x_disable_meta=True,
        x_disable_stats=True,
        x_save_requirements=False,
    )


def _rows(curves: list[dict[str, Any]]) -> Iterator[tuple[int, dict[str, Any]]]:
    """What all curves have at each step, in the order of steps, which W&B asks for; with the first of their moments."""
    found: dict[int, dict[str, Any]] = {}
    for curve in curves:
        for step, value, at in zip(curve["steps"], curve["values"], curve["at"], strict=True):
            row = found.setdefault(step, {"_timestamp": at / 1e6})
            row[curve["title"]] = value
    yield from sorted(found.items())


def _summary(job: dict[str, Any]) -> dict[str, float]:
    """The final figures; one that is called as a curve is stands below `final`."""
    titles = {curve["title"] for curve in job["curves"]}
    return {f"final/{name}" if name in titles else name: figure for name, figure in job["figures"].items()}


def _nested(texts: dict[str, str]) -> dict[str, str]:
    return {name.removeprefix("trimtab."): text for name, text in texts.items()}
