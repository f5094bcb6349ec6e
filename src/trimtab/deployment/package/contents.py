"""What a package says of itself: `package.json`, beside the files it names."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from trimtab.records.base import Record
from trimtab.records.model import ColumnKind, ModelIdentity, Signature
from trimtab.records.requirement import Estimate

FORM = 1
MANIFEST = "package.json"
CHECKSUMS = "SHA256SUMS"
MODEL = "model.onnx"
SIGNATURE = "signature.json"
FEATURES = "features.zip"
POSTPROCESS = "postprocess.zip"
EXPLAINER = "explainer.msgpack"


class DataColumn(Record, kw_only=True):
    """A column that the model takes in. What is `personal` is sealed where the data lie."""

    name: str
    kind: ColumnKind
    personal: bool = False


class DataReference(Record, kw_only=True):
    """Which rows a model comes from, without any of them. `version` is the digest of the dataset version as the ledger
    has it (empty for a dataset that only feeds features); `licence` is an SPDX expression, empty where none is
    declared. `used` is true for the dataset that the model learned from."""

    dataset: str
    source: str
    version: str
    licence: str
    used: bool
    key: tuple[str, ...]
    time: str
    label: str | None = None
    rows: int = 0
    start: datetime | None = None
    end: datetime | None = None
    columns: tuple[DataColumn, ...] = ()


class LibraryLicence(Record, kw_only=True):
    """A library with the version that trained the model, and the licence that its own metadata names (empty: none)."""

    name: str
    version: str
    licence: str
    note: str = ""


class Manifest(Record, kw_only=True):
    """`package.json`. `entry` is the module in FEATURES or POSTPROCESS that has the function; `files` are all that the
    folder holds but the checksums. `licence` is of the model and its code, empty where none is declared."""

    form: int = FORM
    trimtab: str
    system: str
    problem: str
    identity: ModelIdentity
    trained: datetime
    signature: Signature
    entry: str
    params: dict[str, Any]
    metrics: dict[str, Estimate]
    libraries: dict[str, str]
    data: tuple[DataReference, ...]
    licence: str
    licences: tuple[LibraryLicence, ...]
    files: tuple[str, ...]
