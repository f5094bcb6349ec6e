"""The objects of a bucket that a pattern names, and a copy of each on this machine for as long as it is read."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError
from obstore.store import S3Store

from trimtab.adapters.s3.kind import S3Options
from trimtab.data.port import DataError
from trimtab.data.sources.listing import Found, is_draft, matching
from trimtab.data.sources.patience import Patience
from trimtab.data.spec import DatasetSpec
from trimtab.errors import TemporaryError, TrimtabError
from trimtab.records.objects import s3_options, without_keys

if TYPE_CHECKING:
    from obstore.store import S3Config

_BLOCK = 4 * 2**20
_STATUS = re.compile(r"status code: (\d{3})")
_DENIED = ("401", "403")
_WILD = re.compile(r"[*?\[]")


class Bucket:
    """A shelf in a bucket. Of each object its size, its ETag and its time tell whether it was read as it is now.

    Every object is whole, as S3 shows none that is half written. It is copied to a temporary file that goes when it
    has been read, so that the disk holds one at a time and memory a few blocks of it.
    """

    def __init__(
        self, spec: DatasetSpec, options: S3Options, environment: Mapping[str, str], patience: Patience
    ) -> None:
        self._spec, self._options, self._patience = spec, options, patience
        self._bucket, _, self._pattern = spec.source.removeprefix("s3://").partition("/")
        self._opened: S3Store | None = None
        self._environment = _declared(spec, options, environment)

    def listed(self) -> list[Found]:
        """The objects now, in order of name."""
        matches = matching(self._pattern)
        folder = self._pattern[: _beginning(self._pattern)].rpartition("/")[0]

        def ask() -> list[Found]:
            with self._told("be listed"):
                pages = self._store().list(folder or None)
                return [_found(meta) for page in pages for meta in page if matches.fullmatch(meta["path"])]

        found = sorted((one for one in self._patience.ask(ask) if not is_draft(one.name)), key=lambda one: one.name)
        if not found:
            raise DataError(
                f"dataset {self._spec.name!r}: no object matches {self._spec.source!r}",
                hint="look at the bucket and the pattern: * stays within a folder, **/ goes through all of them",
            )
        return found

    @contextmanager
    def at_hand(self, found: Found) -> Iterator[Found]:
        """A copy of the object."""
        with tempfile.NamedTemporaryFile(prefix="trimtab-s3-") as copy:
            self._patience.ask(lambda: self._copy(found, Path(copy.name)))
            yield Found(place=copy.name, name=found.name, size=found.size, mark=found.mark, fresh=False)

    def _copy(self, found: Found, path: Path) -> None:
        with self._told("be read", found.name), path.open("wb") as file:
            for block in self._store().get(found.name).stream(min_chunk_size=_BLOCK):
                file.write(block)
        if path.stat().st_size != found.size:
            raise TemporaryError(
                f"{self._named(found.name)} has changed while it was read", delay=1.0, hint="it is read again later"
            )

    def _store(self) -> S3Store:
        if self._opened is not None:
            return self._opened
        timeout = timedelta(seconds=self._options.timeout)
        settings: Any = dict(s3_options(self._environment))
        plain = settings.pop("allow_http", "") == "true"
        if self._options.anonymous:
            settings["aws_skip_signature"] = "true"
        self._opened = S3Store(
            self._bucket,
            config=cast("S3Config", settings),
            client_options={"allow_http": plain, "timeout": timeout, "connect_timeout": timedelta(seconds=10)},
            retry_config={"max_retries": 0},
        )
        return self._opened

    def _named(self, name: str) -> str:
        return f"dataset {self._spec.name!r}: s3://{self._bucket}/{name}"

    @contextmanager
    def _told(self, what: str, name: str = "") -> Iterator[None]:
        try:
            yield
        except TrimtabError:
            raise
        except (BaseError, OSError) as error:
            message = f"{self._named(name)} cannot {what}"
            said = without_keys(str(error), self._environment)
            harmless = RuntimeError(type(error).__name__) if self._holds_key(error) else error
            status = _STATUS.search(str(error))  # a listing tells its refusals in its text alone
            code = status[1] if status else ""
            if isinstance(error, FileNotFoundError) or code == "404":
                raise DataError(f"{message}: it is not there", hint="look at the bucket's name") from harmless
            if isinstance(error, (PermissionError, PermissionDeniedError, UnauthenticatedError)) or code in _DENIED:
                hint = "look at the keys in the environment, and what they may"
                raise DataError(f"{message}: access is denied", hint=hint) from harmless
            raise TemporaryError(f"{message}: {said[:300]}", delay=0.0, hint="look at the endpoint") from harmless

    def _holds_key(self, error: Exception) -> bool:
        keys = (self._environment.get(name) for name in ("AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID"))
        return any(key and key in f"{error!r}{error}" for key in keys)


def _beginning(pattern: str) -> int:
    """How much of a pattern stands for itself."""
    wild = _WILD.search(pattern)
    return wild.start() if wild else len(pattern)


def _found(meta: Any) -> Found:
    changed = meta["last_modified"].isoformat() if meta.get("last_modified") else ""
    mark = f"{meta['size']:x}.{meta.get('e_tag') or ''}.{changed}"
    return Found(place="", name=meta["path"], size=meta["size"], mark=mark, fresh=False)


def _declared(spec: DatasetSpec, options: S3Options, environment: Mapping[str, str]) -> dict[str, str]:
    """The environment with what is declared in place of what it says. Raises DataError for a key that is not there."""
    found = dict(environment)
    if options.endpoint:
        found["AWS_ENDPOINT_URL_S3"] = options.endpoint
    if options.region:
        found["AWS_REGION"] = options.region
    named = {
        "AWS_ACCESS_KEY_ID": options.key_env,
        "AWS_SECRET_ACCESS_KEY": options.secret_env,
        "AWS_SESSION_TOKEN": options.session_env,
    }
    if options.key_env and not options.session_env:
        found.pop("AWS_SESSION_TOKEN", None)  # it belongs to other keys
    for name, variable in named.items():
        if variable:
            value = environment.get(variable, "").strip()
            if not value:
                raise DataError(
                    f"dataset {spec.name!r}: the environment variable {variable}, which holds a key, is not set"
                )
            found[name] = value
    return found
