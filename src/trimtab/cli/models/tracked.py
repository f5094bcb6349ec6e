"""What a training left, as lines for `show`; and which training is meant, one that came to no model too."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from trimtab.cli.arguments import UsageError
from trimtab.cli.figures import number, quantity
from trimtab.cli.models.find import SHORT, models, releases
from trimtab.experiments.trainings import training_of

if TYPE_CHECKING:
    from trimtab.records.tracking import SourceState, Training
    from trimtab.wiring.place import Place

_KWH = 3.6e6


def named(place: Place, name: str) -> Training:
    """The training with that id, or a unique beginning of it, or of that release. Trainings without a model, and those
    of searches and experiments, are known too."""
    release = next((r for r in releases(place).all if r.release == name), None)
    known = models(place)
    close = [release.model] if release else [key for key in known if len(name) >= 4 and key.startswith(name)]
    if not close and len(name) >= 4:
        from trimtab.wiring.tracking import indexed

        with indexed(place) as index:
            close = [found.id for found in index.beginning(name)]
    if len(close) != 1:
        told = f"{len(close)} trainings begin with {name!r}" if close else f"no training or release is called {name!r}"
        raise UsageError(told, hint="`trimtab models list` names them, and `trimtab log` those that failed")
    return training_of(place.blobs, close[0])


def lines(training: Training) -> Iterator[tuple[str, str]]:
    """A title and a text for each thing that is known."""
    there, load = training.environment, training.load
    if there is not None:
        gpus = "".join(f", {gpu.name}" for gpu in there.gpus)
        yield (
            "on",
            f"{there.processor}{gpus}, {there.threads} of {there.cores} cores, {quantity(there.memory, 'GiB', 2**30)}; "
            f"{there.python}, {there.system}, {len(there.libraries)} libraries",
        )
    if load is not None:
        gpu = "" if load.gpu_busy is None else f", GPU {load.gpu_busy:.0%} busy"
        yield (
            "used",
            f"{quantity(training.seconds, 's')}, {number(load.cores_busy)} cores on average, "
            f"{quantity(load.memory_peak, 'MiB', 2**20)} at most{gpu}",
        )
    if training.energy is not None:
        joules = training.energy.joules
        much = f"{number(joules / _KWH)} kWh" if joules >= _KWH / 10 else f"{number(joules)} J"
        yield "energy", f"about {much}, an estimate: {training.energy.basis}"
    yield "commit", commit(training.source)
    if training.series:
        names = [each.name for each in training.series if each.fit == "evaluated"]
        if names:
            shown = ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")
            yield "logged", f"{shown}; `trimtab models metrics` draws them"
    if training.artifacts:
        size = sum(each.size for each in training.artifacts)
        yield "files", f"{len(training.artifacts)} artifacts, {quantity(size, 'KiB', 2**10)}"
    if training.dropped:
        yield "left out", "; ".join(training.dropped)


def commit(source: SourceState) -> str:
    """The commit, and how the code that was run differs from it."""
    if not source.commit:
        return f"none: {source.why}" if source.why else "none"
    where = f" on {source.branch}" if source.branch else ""
    what = [f"{', '.join(source.changed)} changed"] * bool(source.changed)
    what += [f"{', '.join(source.untracked)} not in it"] * bool(source.untracked)
    since = f", and uncommitted: {'; '.join(what)}" if what else ", nothing uncommitted"
    return f"{source.commit[:SHORT]}{where}{since if not source.why else f'; {source.why}'}"
