"""What may be declared of `source = "dvc:REPOSITORY@REVISION:path/*.csv"`."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from trimtab.data.kinds import Duration, SourceKind
from trimtab.errors import DeclarationError
from trimtab.records.base import Record


class DvcOptions(Record):
    """`remote` is the name of the DVC remote to read from, where it is not the default one. A file must come within
    `timeout`."""

    remote: str = ""
    timeout: Duration = 600.0
    tries: int = 3


@dataclass(frozen=True)
class Address:
    """A repository (a folder or an address that git knows), a revision (commit, tag or branch), and a path or glob."""

    repository: str
    revision: str
    pattern: str


def address_of(source: str) -> Address:
    """The parts of a source: the last colon begins the path, the last @ before it the revision. DeclarationError."""
    place, colon, pattern = source.removeprefix("dvc:").rpartition(":")
    repository, at, revision = place.rpartition("@")
    if not (colon and at and repository and revision and pattern) or ("/" in revision and ":" in revision):
        raise DeclarationError(
            f'"{source}" does not name a repository, a revision and a path',
            hint='write "dvc:../data-repository@v1.2:trips/**/*.csv"; the revision is a commit, a tag or a branch',
        )
    if any(part.startswith("-") for part in (repository, revision, pattern)):
        raise DeclarationError(f'"{source}": no part of it may begin with "-"')
    return Address(repository, revision, pattern)


def check(source: str, options: DvcOptions) -> None:
    """Raises DeclarationError where the source does not name files, or holds a secret."""
    found = address_of(source)
    try:
        secret = urlsplit(found.repository).password
    except ValueError as error:
        raise DeclarationError(f"the address cannot be read: {error}") from error
    if secret is not None:
        raise DeclarationError(
            "the address holds a password, which does not belong in the declaration",
            hint="leave it out, and let git's credential helper, or an SSH key, know it",
        )
    if options.remote.startswith("-"):
        raise DeclarationError("the name of a remote does not begin with -")


KIND = SourceKind(DvcOptions, check)
