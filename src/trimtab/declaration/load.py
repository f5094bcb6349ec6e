"""`trimtab.toml` → System: everything read and checked at once, every problem with its file and line."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

import msgspec

from trimtab.data.kinds import SourceKinds
from trimtab.data.spec import DatasetSpec, StoreSpec
from trimtab.declaration.digest import digest_of
from trimtab.declaration.locate import locate
from trimtab.declaration.problems import KeyPath, Problems
from trimtab.declaration.reading import Table
from trimtab.declaration.system import Policy, System
from trimtab.declaration.tables.card import check_groups, read_card
from trimtab.declaration.tables.datasets import read_dataset
from trimtab.declaration.tables.experiments import About, read_experiment
from trimtab.declaration.tables.labels import check_labels, read_labels
from trimtab.declaration.tables.media_model import check_media
from trimtab.declaration.tables.policy import check_canary_by, check_triggers, read_policy
from trimtab.declaration.tables.privacy import check_personal, read_privacy
from trimtab.declaration.tables.references import check_references
from trimtab.declaration.tables.replay import read_replay
from trimtab.declaration.tables.requirements import check_measurable, read_requirements
from trimtab.declaration.tables.sections import (
    Heading,
    check_span,
    read_model,
    read_serve,
    read_system,
    read_value,
    read_view,
)
from trimtab.declaration.tables.store import read_store
from trimtab.declaration.tables.tracking import read_tracking
from trimtab.errors import DeclarationError
from trimtab.experiments.spec import TrackingSpec
from trimtab.serving.spec import ServeSpec

FILE_NAME = "trimtab.toml"
MAX_BYTES = 2**20
_POSITION = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")


_EMBEDDED = SourceKinds()


class _Placed(Protocol):
    @property
    def line(self) -> int: ...


_PlacedT = TypeVar("_PlacedT", bound=_Placed)


def load(path: Path | str, kinds: SourceKinds = _EMBEDDED) -> System:
    """Read a declaration: a `trimtab.toml`, or the folder that holds one.

    DeclarationErrors with every problem found, in order of lines; a DeclarationError when the file cannot be read or
    is no TOML at all. `kinds` are the outside sources that a dataset may name.
    """
    given = Path(path)
    file = given / FILE_NAME if given.is_dir() else given
    return parse(read_text(file), file, kinds)


def parse(text: str, path: Path, kinds: SourceKinds = _EMBEDDED) -> System:
    """Understand the text of a declaration that lies, or would lie, at `path`. Errors as `load`."""
    values = toml_values(text, path)
    problems = Problems(path, locate(text))
    folder = str(path.resolve().parent)
    root = Table(problems, (), values)

    heading = _section(root, "system", read_system, required=True) or Heading()
    task = heading.task
    value = _section(root, "value", lambda table: read_value(table, task))
    serve = _section(root, "serve", read_serve) or ServeSpec()
    requirements = read_requirements(problems, root.table("requirements") or {}, task, value, serve)
    data = [spec for table in _tables(root, "data") if (spec := read_dataset(table, folder, kinds)) is not None]
    features = [view for table in _tables(root, "features") if (view := read_view(table, data)) is not None]
    model = _section(root, "model", lambda table: read_model(table, folder, task, value), required=True)
    policy = _section(root, "policy", lambda table: read_policy(table, task)) or Policy()
    replay = _section(root, "replay", lambda table: read_replay(table, folder))
    about = About(folder=folder, model=model, views=tuple(features), task=task, value=value)
    found = (read_experiment(table, about) for table in _tables(root, "experiments"))
    experiments = [experiment for experiment in found if experiment is not None]
    privacy = _section(root, "privacy", read_privacy)
    if privacy is not None:
        data = [msgspec.structs.replace(spec, privacy=privacy) for spec in data]
    labels = _section(root, "labels", lambda table: read_labels(table, data, task, value))
    store = _section(root, "store", read_store) or StoreSpec()
    card = _section(root, "card", read_card)
    trackers = None if kinds.trackers is None else kinds.trackers()
    tracking = _section(root, "tracking", lambda table: read_tracking(table, trackers)) or TrackingSpec()
    root.close("table")

    _check_unique(problems, "data", data, lambda spec: spec.name)
    _check_unique(problems, "features", features, lambda spec: spec.view)
    _check_unique(problems, "experiments", experiments, lambda spec: spec.name)
    _check_one_label(problems, values, data)
    check_references(problems, data)
    check_triggers(problems, policy, requirements)
    check_personal(problems, data, requirements, policy, labels)
    if card is not None:
        check_groups(problems, card, tuple(data))
    if model is not None:
        check_span(problems, model, data)
        check_canary_by(problems, policy, model, data)
    if model is not None and task is not None:
        check_media(problems, task, model, data, policy, replay=replay, experiments=experiments, labels=labels)
    if task is not None:
        check_measurable(problems, requirements, data, value, task)
    check_labels(problems, requirements, labels, declared="labels" in values)
    problems.raise_if_any()
    if heading.name is None or heading.problem is None or task is None or model is None:
        raise DeclarationError("the declaration is incomplete", path=path, line=1)
    system = System(
        path=str(path.resolve()),
        folder=folder,
        digest="",
        text=text,
        name=heading.name,
        problem=heading.problem,
        task=task,
        value=value,
        requirements=requirements,
        data=tuple(data),
        features=tuple(features),
        model=model,
        policy=policy,
        serve=serve,
        replay=replay,
        store=store,
        tracking=tracking,
        experiments=tuple(experiments),
        labels=labels,
        card=card,
        formerly=heading.formerly or msgspec.UNSET,
    )
    return msgspec.structs.replace(system, digest=digest_of(system))


def read_text(file: Path) -> str:
    """The text of a declaration. Raises DeclarationError where it cannot be read."""
    try:
        if file.is_file() and file.stat().st_size > MAX_BYTES:
            raise DeclarationError(f"a declaration has at most {MAX_BYTES // 2**10} KiB", path=file)
        content = file.read_bytes()
    except FileNotFoundError as error:
        raise DeclarationError(
            "there is no such declaration",
            path=file,
            hint=f"name the folder that holds a {FILE_NAME}; trimtab.adopt(model, X, y, folder=...) writes one",
        ) from error
    except OSError as error:
        raise DeclarationError(f"cannot be read: {error.strerror}", path=file) from error
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        hint = "" if file.suffix == ".toml" else f"name the folder that holds a {FILE_NAME}, or a model file (.onnx)"
        raise DeclarationError("is not UTF-8 text", path=file, line=line, hint=hint) from error


def toml_values(text: str, path: Path) -> dict[str, Any]:
    """What a TOML text says. Raises DeclarationError, with its line, where it is none."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        message = str(error)
        position = _POSITION.search(message)
        line = int(position[1]) if position and position[1] else max(len(text.splitlines()), 1)
        message = _POSITION.sub("", message)
        column = f" (column {position[2]})" if position and position[2] else " at the end of the file"
        hint = "a key may be given once; a metric with several limits takes a list of tables"
        twice = message.startswith(("Cannot overwrite a value", "Duplicate inline table key", "Cannot declare"))
        raise DeclarationError(
            f"not valid TOML: {message}{column}", path=path, line=line, hint=hint if twice else ""
        ) from error
    except (RecursionError, ValueError) as error:
        raise DeclarationError(f"not valid TOML: {error}", path=path, line=1) from error


_Section = TypeVar("_Section")


def _section(root: Table, name: str, read: Callable[[Table], _Section], *, required: bool = False) -> _Section | None:
    if required and name not in root.values and not root.misspelt(name):
        root.problems.add((), f"[{name}] is missing", hint=f"declare [{name}]")
    values = root.table(name)
    return read(Table(root.problems, (name,), values)) if values is not None else None


def _tables(root: Table, name: str) -> list[Table]:
    return [Table(root.problems, (name, position), values) for position, values in root.list_of_tables(name)]


def _check_unique(problems: Problems, head: str, specs: Sequence[_PlacedT], name_of: Callable[[_PlacedT], str]) -> None:
    first: dict[str, int] = {}
    for spec in specs:
        name = name_of(spec)
        if name in first:
            key: KeyPath = (head, 0)
            problems.add_at(spec.line, key, f'"{name}" is declared twice, first in line {first[name]}')
        first.setdefault(name, spec.line)


def _check_one_label(problems: Problems, values: dict[str, Any], data: Sequence[DatasetSpec]) -> None:
    tables = values.get("data")
    if tables is None or tables == []:
        problems.add((), "there is no [[data]]", hint="declare at least the dataset that has the label")
        return
    if not isinstance(tables, list):
        return
    labelled = [position for position, table in enumerate(tables) if _has_label(problems, position, table)]
    if not labelled:
        names = ", ".join(spec.name for spec in data)
        hint = f'write label = "..." in one of {names}' if names else 'write label = "..."'
        problems.add(("data", 0), "no dataset has a label, so there is nothing to learn", hint=hint)
    for position in labelled[1:]:
        first = problems.line(("data", labelled[0], "label"))
        problems.add(
            ("data", position, "label"),
            f"a second dataset with a label (the first is in line {first})",
            hint="a system learns one label; the other datasets feed features",
        )


def _has_label(problems: Problems, position: int, table: Any) -> bool:
    if not isinstance(table, dict):
        return False
    return "label" in table or Table(problems, ("data", position), table).misspelt("label")
