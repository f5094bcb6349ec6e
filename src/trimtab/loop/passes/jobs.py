"""What a training is asked to do, from the declaration."""

from __future__ import annotations

from pathlib import Path

from trimtab.declaration.system import System
from trimtab.loop.people.personal import has_people, learned
from trimtab.training.job import TrainingJob


def job_of(system: System, version: str, action: str) -> TrainingJob:
    """The training that is declared, on a `version` of the labelled dataset, without a refit; `action` names what asks
    for it."""
    spec, data = system.model, system.labelled
    folder = Path(system.folder)
    return TrainingJob(
        task=system.task,
        code=str(folder / spec.code),
        root=str(folder),
        dataset=data.name,
        versions={data.name: version},
        key=data.key,
        time=data.time,
        label=str(data.label),
        predict_before=data.predict_before,
        inputs=spec.inputs,
        params=spec.params,
        seed=spec.seed,
        baseline=spec.baseline,
        value=system.value,
        requirements=system.requirements,
        time_limit=spec.time_limit,
        memory_limit=spec.memory_limit,
        action=action,
        personal=learned(system),
        private=has_people(system),
        threshold=spec.threshold,
        media=spec.media,
    )
