"""What may be declared of `source = "s3://bucket/prefix/**/*.parquet"`."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from trimtab.data.kinds import Duration, SourceKind
from trimtab.errors import DeclarationError
from trimtab.records.base import Record

_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", re.ASCII)
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)


class S3Options(Record):
    """Endpoint, region and keys come from the environment (`AWS_ENDPOINT_URL`, `AWS_REGION`, `AWS_ACCESS_KEY_ID`,
    `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`) unless they are declared here. `key_env`, `secret_env` and
    `session_env` name the variables that hold the keys, where they are others. `anonymous` signs nothing.
    An object must come within `timeout`.
    """

    endpoint: str = ""
    region: str = ""
    key_env: str = ""
    secret_env: str = ""
    session_env: str = ""
    anonymous: bool = False
    timeout: Duration = 300.0
    tries: int = 4


def check(source: str, options: S3Options) -> None:
    """Raises DeclarationError where bucket, name and options do not fit, or hold a secret."""
    bucket, _, name = source.removeprefix("s3://").partition("/")
    if not source.startswith("s3://") or not _BUCKET.fullmatch(bucket):
        raise DeclarationError(f'"{source}" names no bucket', hint='write "s3://bucket/folder/**/*.parquet"')
    if not name or name.endswith("/"):
        raise DeclarationError(f'"{source}" names no objects', hint=f'write "{source.rstrip("/")}/**/*.parquet"')
    if options.endpoint:
        found = urlsplit(options.endpoint)
        if found.scheme not in ("http", "https") or not found.hostname:
            raise DeclarationError("the endpoint is no address", hint='write endpoint = "https://s3.example.com"')
        if found.username is not None or found.password is not None:
            raise DeclarationError(
                "the endpoint holds a user or a password, which do not belong in the declaration",
                hint="leave them out, and name the variables that hold them by key_env and secret_env",
            )
    for variable in (options.key_env, options.secret_env, options.session_env):
        if variable and not _VARIABLE.fullmatch(variable):
            raise DeclarationError(
                "what stands for a key is not the name of an environment variable",
                hint='write the name, such as key_env = "SHOP_KEY", and put the key into the environment',
            )
    if bool(options.key_env) != bool(options.secret_env):
        raise DeclarationError("key_env and secret_env belong together")
    if options.anonymous and options.key_env:
        raise DeclarationError("anonymous has no meaning with key_env")


KIND = SourceKind(S3Options, check)
