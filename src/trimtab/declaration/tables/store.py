"""`[store]`: where dataset versions lie."""

from __future__ import annotations

import re

from trimtab.data.spec import StoreSpec
from trimtab.declaration.reading import Table

_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_PREFIX = re.compile(r"[A-Za-z0-9._=-]+(?:/[A-Za-z0-9._=-]+)*")


def read_store(table: Table) -> StoreSpec:
    """A place without keys in it, and who may write there."""
    url = table.text("url", '"s3://bucket/prefix"') or ""
    if url:
        _check(table, url)
    writers = table.one_of("writers", ("several", "one"))
    table.close()
    return StoreSpec(url=url.rstrip("/"), writers="one" if writers == "one" else "several")


def _check(table: Table, url: str) -> None:
    scheme, sign, rest = url.partition("://")
    bucket, _, prefix = rest.rstrip("/").partition("/")
    if sign and "@" in rest:
        hint = "keys are taken from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        table.problems.add(table.key("url"), "holds keys, which a declaration must not", hint=hint)
    elif scheme != "s3" or not _BUCKET.fullmatch(bucket) or (prefix and not _PREFIX.fullmatch(prefix)):
        hint = "the endpoint of another S3 server than Amazon's is AWS_ENDPOINT_URL, in the environment"
        table.wrong("url", "a bucket, perhaps with a prefix, as s3://bucket/prefix", hint=hint)
