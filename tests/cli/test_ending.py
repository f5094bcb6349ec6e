"""A word to end that comes in the midst of something is not lost to whatever that leaves undone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from trimtab.errors import PermanentError, end_if_told


@contextmanager
def transaction() -> Iterator[None]:
    """Is left by an interrupt with an error of its own, as a database's may be."""
    try:
        yield
    finally:
        raise RuntimeError("the transaction must be rolled back first")


def test_an_interrupt_that_became_another_error_ends() -> None:
    def interrupted() -> None:
        try:
            with transaction():
                raise KeyboardInterrupt
        except RuntimeError as error:
            raise PermanentError("the ledger cannot be written") from error

    with pytest.raises(PermanentError) as caught:
        interrupted()
    with pytest.raises(KeyboardInterrupt):
        end_if_told(caught.value)


def test_any_other_error_does_not() -> None:
    with pytest.raises(RuntimeError) as caught, transaction():
        raise ValueError("a fault")
    end_if_told(caught.value)
