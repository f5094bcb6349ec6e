"""The tracker that writes event files for TensorBoard: `tensorboard:DIR`, then `tensorboard --logdir DIR`.

A training is the run SYSTEM/ID, one event file that is put there whole. TensorBoard keeps scalars as 32-bit floats, and
knows no files: of what a training saved, it is given the pictures that are PNG.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
from blake3 import blake3

from trimtab.errors import DeclarationError, PermanentError, TemporaryError
from trimtab.experiments.port import Contents, Told
from trimtab.experiments.shown import figures_of, texts_of
from trimtab.experiments.spec import TrackerSpec
from trimtab.records.base import canonical_json
from trimtab.records.durable import flush_file, flush_folder, make_folder
from trimtab.records.model import Stage
from trimtab.records.tracking import Environment

_PNG = b"\x89PNG\r\n\x1a\n"
_EXACT = 2**53
_BY_IMPORT = "CRC32C_SW_MODE"
"""A variable that tensorboardX sets in the environment when it is imported."""


class TensorBoard:
    """See the module. `home` is the folder that TensorBoard is pointed at."""

    def __init__(self, home: Path) -> None:
        self._home = home
        before = os.environ.get(_BY_IMPORT)
        # Imported here: only who declares this tracker waits for it.
        from tensorboardX.proto import api_pb2, event_pb2, plugin_hparams_pb2, summary_pb2, tensor_pb2, types_pb2
        from tensorboardX.record_writer import RecordWriter

        if before is None:
            os.environ.pop(_BY_IMPORT, None)
        self._status, self._event, self._hparams = api_pb2.Status, event_pb2.Event, plugin_hparams_pb2
        self._summary, self._tensor, self._types = summary_pb2, tensor_pb2, types_pb2
        self._opened = RecordWriter

    def write(self, told: Told, contents: Contents) -> str:
        """Write the event file beside its place and put it there whole; an earlier one of this training goes."""
        folder = self._home / told.system / told.training.id
        stamp = int(told.training.started.timestamp())
        digest = blake3(canonical_json(told)).hexdigest(4)
        place = folder / f"events.out.tfevents.{stamp}.trimtab.{digest}"
        draft = folder / f".{secrets.token_hex(8)}.tmp"
        try:
            make_folder(folder)
            for left in folder.glob(".*.tmp"):
                left.unlink(missing_ok=True)
            with self._writing(draft) as writer:
                for event in self._events(told, contents):
                    writer.write(event.SerializeToString())
            flush_file(draft)
            draft.replace(place)
            for other in folder.glob("events.out.tfevents.*"):
                if other != place:
                    other.unlink(missing_ok=True)
            flush_folder(folder)
        except OSError as error:
            raise _translated(error, folder) from error
        return str(folder)

    def stand(self, system: str, releases: Mapping[str, tuple[Stage, str]]) -> None:
        """TensorBoard has no registry of models."""

    def close(self) -> None:
        """There is nothing to give back."""

    @contextmanager
    def _writing(self, draft: Path) -> Iterator[Any]:
        writer = self._opened(str(draft.absolute()))
        try:
            yield writer
        finally:
            writer.close()

    def _events(self, told: Told, contents: Contents) -> Iterator[Any]:
        training = told.training
        start = training.started.timestamp()
        end = start + training.seconds
        yield self._event(wall_time=start, file_version="brain.Event:2")
        yield self._plugin(start, "_hparams_/session_start_info", self._session_start(told, start))
        yield self._text(start, "training", _table(texts_of(told) | {"trimtab.seconds": f"{training.seconds:.6g}"}))
        if training.environment is not None:
            yield self._text(start, "environment", _table(_environment(training.environment)))
        patch = contents.patch()
        if patch:
            yield self._text(start, "uncommitted code", "".join(f"    {line}\n" for line in patch.splitlines()))
        titles = set()
        for curve in contents.curves():
            titles.add(curve.title)
            points = zip(curve.steps.tolist(), curve.values.tolist(), curve.at.tolist(), strict=True)
            for step, value, at in points:
                yield self._scalar(at / 1e6, curve.title, step, value)
        for name, figure in figures_of(told).items():
            yield self._scalar(end, f"figures/{name}" if name in titles else name, 0, figure)
        for artifact in training.artifacts:
            if artifact.name.lower().endswith(".png"):
                yield from self._picture(end, artifact.name, contents.artifact(artifact).read_bytes())
        yield self._plugin(end, "_hparams_/session_end_info", self._session_end(told, end))

    def _scalar(self, at: float, tag: str, step: int, value: float) -> Any:
        values = [self._summary.Summary.Value(tag=tag, simple_value=value)]
        return self._event(wall_time=at, step=step, summary=self._summary.Summary(value=values))

    def _text(self, at: float, tag: str, text: str) -> Any:
        plugin = self._summary.SummaryMetadata.PluginData(plugin_name="text", content=b"")
        tensor = self._tensor.TensorProto(dtype=self._types.DT_STRING, string_val=[text.encode()])
        tensor.tensor_shape.dim.add(size=1)
        metadata = self._summary.SummaryMetadata(plugin_data=plugin)
        value = self._summary.Summary.Value(tag=tag, metadata=metadata, tensor=tensor)
        return self._event(wall_time=at, summary=self._summary.Summary(value=[value]))

    def _picture(self, at: float, tag: str, content: bytes) -> Iterator[Any]:
        if content[:8] != _PNG or len(content) < 24:
            return
        width, height = (int.from_bytes(content[i : i + 4], "big") for i in (16, 20))
        image = self._summary.Summary.Image(height=height, width=width, colorspace=4, encoded_image_string=content)
        value = self._summary.Summary.Value(tag=tag, image=image)
        yield self._event(wall_time=at, summary=self._summary.Summary(value=[value]))

    def _plugin(self, at: float, tag: str, data: Any) -> Any:
        plugin = self._summary.SummaryMetadata.PluginData(plugin_name="hparams", content=data.SerializeToString())
        metadata = self._summary.SummaryMetadata(plugin_data=plugin)
        value = self._summary.Summary.Value(tag=tag, metadata=metadata)
        return self._event(wall_time=at, summary=self._summary.Summary(value=[value]))

    def _session_start(self, told: Told, start: float) -> Any:
        found = self._hparams.SessionStartInfo(start_time_secs=start, group_name=told.training.id)
        for name, value in told.training.params.items():
            if isinstance(value, bool):
                found.hparams[name].bool_value = value
            elif isinstance(value, int | float) and abs(value) <= _EXACT:
                found.hparams[name].number_value = float(value)
            else:
                shown = value if isinstance(value, str) else msgspec.json.encode(value).decode()
                found.hparams[name].string_value = shown
        return self._hparams.HParamsPluginData(session_start_info=found, version=0)

    def _session_end(self, told: Told, end: float) -> Any:
        status = "STATUS_SUCCESS" if told.training.outcome == "trained" else "STATUS_FAILURE"
        found = self._hparams.SessionEndInfo(status=self._status.Value(status), end_time_secs=end)
        return self._hparams.HParamsPluginData(session_end_info=found, version=0)


def open_tracker(spec: TrackerSpec, folder: Path) -> TensorBoard:
    """The tracker of a `tensorboard:DIR`, below the declaration's folder where it is relative."""
    if not spec.place.strip():
        raise DeclarationError(f'"{spec.text}" names no folder', line=spec.line, hint='write "tensorboard:runs"')
    return TensorBoard(folder / spec.place)


def _environment(there: Environment) -> dict[str, str]:
    gpus = ", ".join(gpu.name for gpu in there.gpus)
    told = {
        "python": there.python,
        "system": there.system,
        "processor": there.processor,
        "cores": str(there.cores),
        "threads": str(there.threads),
        "memory": f"{there.memory / 2**30:.3g} GiB",
        "GPUs": gpus,
    }
    return {name: value for name, value in told.items() if value} | there.libraries


def _table(rows: Mapping[str, str]) -> str:
    """A table in Markdown."""
    lines = (f"| {name} | {value} |" for name, value in ((_cell(n), _cell(v)) for n, v in rows.items()))
    return "\n".join(("| | |", "| --- | --- |", *lines))


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())


def _translated(error: OSError, place: Path) -> PermanentError | TemporaryError:
    message = f"event files cannot be written to {place}: {error.strerror}"
    if isinstance(error, PermissionError | NotADirectoryError | FileExistsError):
        return PermanentError(message, hint="look at the folder's owner and names")
    return TemporaryError(message, delay=10.0, hint="look at the disk")
