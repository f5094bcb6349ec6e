"""What a server needs of a store of features, whichever it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

from trimtab.records.base import Record

Key = tuple[Any, ...]


class View(Record, kw_only=True):
    """A feature view that can be looked up: by the columns of `entity` it gives `columns`. A row that was known more
    than `ttl` seconds before the prediction does not count (None: any age). `since` is the earliest moment that it can
    tell about, in microseconds since 1970."""

    name: str
    entity: tuple[str, ...]
    columns: tuple[str, ...]
    ttl: float | None = None
    since: int = 0


class Known(NamedTuple):
    """A row of a view: when it became known (microseconds since 1970), and its values in the view's order. A value is
    a number, a text, a boolean, an aware moment, or None."""

    at: int
    values: tuple[Any, ...]


class FeatureLookup(Protocol):
    """A store of features. Every implementation guarantees (`trimtab.testing.lookup` holds it to this):

    * nothing that became known after the asked moment is ever told, and of what was known then the newest is;
    * it may be asked from several threads at once, while another process goes on writing;
    * what one `read` tells of a view is of one state of it: a new state is seen whole or not at all;
    * a store that cannot be asked now raises TemporaryError, and never tells that there is nothing.
    """

    def views(self) -> Sequence[View]:
        """What can be looked up now. Raises TemporaryError."""
        ...

    def read(self, view: str, keys: Sequence[Key], at: Sequence[int]) -> list[Known | None]:
        """For each key the newest row of that entity known at its moment (microseconds since 1970), however old, or
        None. A key holds a value for each column of the view's entity. Raises PermanentError for a view that there
        is not, TemporaryError when the store cannot be asked."""
        ...

    def close(self) -> None:
        """Lets go of connections and files."""
        ...
