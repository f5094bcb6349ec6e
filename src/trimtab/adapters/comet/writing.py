"""Comet's package at work, in a process of its own: it writes archives, and sends them."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from trimtab.adapters.own_process import CannotBeReached, Refused, answer, place_within


def main() -> None:
    """Do the job that comes in."""
    answer(lambda job: _send(Path(job["send"])) if "send" in job else _write(job))


def _write(job: dict[str, Any]) -> str:
    """An archive of one training, put whole in the place of what was there."""
    import comet_ml

    archive = Path(job["archive"])
    for left in archive.parent.glob(f".{archive.stem}.*.tmp"):  # by one that was killed
        shutil.rmtree(left, ignore_errors=True)
    with TemporaryDirectory(prefix=f".{archive.stem}.", suffix=".tmp", dir=archive.parent) as given:
        folder = Path(given)
        experiment = comet_ml.OfflineExperiment(
            project_name=job["project"],
            workspace=job["workspace"] or None,
            experiment_key=job["key"],
            offline_directory=str(folder),
            display_summary_level=0,
            **dict.fromkeys(
                (
                    "log_code", "log_graph", "auto_param_logging", "auto_metric_logging", "parse_args",
                    "auto_output_logging", "log_env_details", "log_git_metadata", "log_git_patch", "log_env_gpu",
                    "log_env_host", "log_env_cpu", "log_env_network", "log_env_disk", "auto_weight_logging",
                ),
                False,
            ),
        )  # fmt: skip
        experiment.set_name(job["training"][:12])
        experiment.add_tags([job["group"], job["outcome"]])
        for name, text in job["texts"].items():
            experiment.log_other(name, text)
        experiment.log_parameters({name: _plain(value) for name, value in job["params"].items()})
        for curve in job["curves"]:
            for step, value in zip(curve["steps"], curve["values"], strict=True):
                experiment.log_metric(curve["title"], value, step=step, include_context=False)
        titles = {curve["title"] for curve in job["curves"]}
        for name, figure in job["figures"].items():
            experiment.log_metric(f"final/{name}" if name in titles else name, figure, include_context=False)
        for name, path in job["files"].items():
            experiment.log_asset(_under_its_name(folder, name, Path(path)), file_name=name)
        if job["patch"]:
            experiment.log_asset_data(job["patch"], name="trimtab/code.patch")
        if job["model"] is not None:
            experiment.log_model(job["system"], job["model"], file_name="model.onnx")
        experiment.start_time = int(job["started"] * 1000)
        experiment.end()
        (made,) = folder.glob("*.zip")
        made.replace(archive)
    return str(archive)


def _send(archive: Path) -> str:
    """Send an archive; one that Comet has already is not sent again."""
    from comet_ml import offline
    from comet_ml.exceptions import InvalidAPIKey

    try:
        offline.upload_single_offline_experiment(str(archive), os.environ["COMET_API_KEY"], force_upload=False)
    except InvalidAPIKey as error:
        raise Refused("it refuses the key that COMET_API_KEY holds") from error
    except OSError as error:  # those of its HTTP client too
        raise CannotBeReached(f"it cannot be reached ({type(error).__name__})") from error
    return str(archive)


def _plain(value: Any) -> Any:
    """Lists and tables as JSON."""
    return json.dumps(value, separators=(",", ":")) if isinstance(value, list | dict) else value


def _under_its_name(folder: Path, name: str, content: Path) -> str:
    """A copy that is called as the file is: the package looks at names."""
    target = place_within(folder / "files", name)
    shutil.copyfile(content, target)
    return str(target)
