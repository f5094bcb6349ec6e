"""What may be declared of a Label Studio project as a source: `label-studio:https://host/projects/7`."""

from __future__ import annotations

import re
from typing import Any

from trimtab.data.kinds import SourceKind
from trimtab.errors import DeclarationError
from trimtab.records.base import Record

_SOURCE = re.compile(
    r"label-studio:(?P<url>(?P<scheme>https?)://(?P<host>[^\s/?#@:]+)(:\d+)?\S*?)/projects/(?P<id>\d+)/?"
)
_HERE = ("localhost", "127.0.0.1")


class ProjectOptions(Record, kw_only=True):
    """`token_env` names the environment variable that holds the token of a user who may see the project."""

    token_env: str = "LABEL_STUDIO_TOKEN"


def project_of(source: str) -> tuple[str, int]:
    """The address of Label Studio and the project's number. Raises DeclarationError where the source names neither."""
    found = _SOURCE.fullmatch(source)
    if found is None:
        hint = 'write source = "label-studio:https://host/projects/7"'
        raise DeclarationError(f'"{source}" names no project of Label Studio', hint=hint)
    if found["scheme"] == "http" and found["host"] not in _HERE:
        raise DeclarationError("the token would be sent without encryption", hint="write https:// instead of http://")
    return found["url"], int(found["id"])


def _check(source: str, options: Any) -> None:
    project_of(source)
    if not options.token_env.isidentifier():
        raise DeclarationError("token_env: expected the name of an environment variable")


KIND = SourceKind(ProjectOptions, _check)
