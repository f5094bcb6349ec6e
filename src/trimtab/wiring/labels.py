"""Where people label: the embedded tool and the adapters that `[labels]` names; what is done with what they say."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from trimtab.adapters.catalog import find, names
from trimtab.errors import DeclarationError

if TYPE_CHECKING:
    from trimtab.data.port import Opener, Source
    from trimtab.data.spec import DatasetSpec
    from trimtab.data.store.home import Home
    from trimtab.declaration.system import System
    from trimtab.labels.port import LabelTool
    from trimtab.labels.spec import LabelsSpec
    from trimtab.loop.labelling.suspects import Checker
    from trimtab.loop.labelling.to_label import Chooser
    from trimtab.loop.past.annotated import Labelling
    from trimtab.loop.past.stored import StoredDatasets
    from trimtab.wiring.place import Place


def open_tool(spec: LabelsSpec, folder: Path) -> LabelTool:
    """The tool that people label in. Raises DeclarationError for one that nothing serves."""
    if spec.tool == "files":
        from trimtab.labels.files import FileTool

        return FileTool(spec, folder)
    adapter = find("labels", spec.tool)
    if adapter is None:
        known = ", ".join(("files", *names("labels")))
        raise DeclarationError(f"no tool for labels is called {spec.tool!r}", line=spec.line, hint=f"there is {known}")
    tool: LabelTool = adapter(spec, folder)
    return tool


def labelling_of(system: System, data: Home) -> Labelling | None:
    """The labels of a system whose datasets lie at `data`; None where nobody labels."""
    if system.labels is None:
        return None
    from trimtab.loop.past.annotated import Labelling

    spec = system.labels
    return Labelling(system, data, lambda: open_tool(spec, Path(system.folder)))


def opener_of(place: Place) -> Opener:
    """Opens the sources of a system's datasets, with the labels that were settled so far where people label."""
    from trimtab.wiring.sources import open_any

    labelling = labelling_of(place.system, place.data)
    if labelling is None:
        return open_any
    from trimtab.loop.past.annotated import labelled_source

    def opened(spec: DatasetSpec, folder: Path) -> Source:
        source = open_any(spec, folder)
        return labelled_source(source, labelling) if spec.name == labelling.of.name else source

    return opened


def datasets_of(place: Place, system: System, *, remember: bool = False) -> StoredDatasets:
    """The stored datasets of a system, with the labels that people give, if they do."""
    from trimtab.loop.past.stored import StoredDatasets
    from trimtab.wiring.sources import open_any

    labelling = labelling_of(system, place.data)
    return StoredDatasets(
        system,
        place.data,
        place.ledger,
        remember=remember,
        opener=open_any,
        labelling=labelling,
        error_rate=None if labelling is None else checker(place).error_rate,
    )


def checker(place: Place) -> Checker:
    """What finds labels that are likely wrong."""
    from trimtab.loop.labelling.suspects import Checker

    return Checker(place.system, place.ledger, place.blobs)


def chooser(place: Place, labelling: Labelling) -> Chooser:
    """What says what to label next."""
    from trimtab.loop.labelling.to_label import Chooser

    return Chooser(place.system, place.ledger, place.blobs, labelling)
