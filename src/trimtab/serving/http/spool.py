"""A body too large for memory, on its way to a nameless file."""

from __future__ import annotations

import os
import tempfile
import threading
from asyncio import Future, get_running_loop
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from trimtab.serving.refusals import RefusalError

_PIECE = 2**20


class Spool:
    """Takes a body piece by piece, at most `most` bytes; the file has no name, so that nothing outlives the process.

    `take` belongs to the event loop and never waits for the disk; what it took is written by a thread.
    """

    def __init__(self, folder: Path, most: int) -> None:
        self.size = 0
        self._folder = folder
        self._most = most
        self._pieces: deque[bytes] = deque()
        self._written = 0
        self._lock = threading.Lock()
        self._file: BinaryIO | None = None
        self._closed = False
        self._busy = False

    def take(self, data: bytes, written: Callable[[RefusalError | None], None]) -> bool:
        """Takes a piece; true when no more should come until `written` is called, with what is wrong where the disk
        refused. Raises RefusalError (413) beyond the limit."""
        self.size += len(data)
        if self.size > self._most:
            raise RefusalError(413, f"the body is larger than {self._most:,} bytes", hint="send it in several parts")
        self._pieces.append(data)
        if self._busy or self.size - self._written < _PIECE:
            return self._busy
        self._busy = True

        def done(writing: Future[None]) -> None:
            self._busy = False
            error = writing.exception()
            written(error if isinstance(error, RefusalError) else None)

        get_running_loop().run_in_executor(None, self.write).add_done_callback(done)
        return True

    def write(self) -> None:
        """Brings what was taken to the file. Raises RefusalError (507) when the disk refuses."""
        with self._lock:
            try:
                if self._file is None and not self._closed:
                    self._folder.mkdir(parents=True, exist_ok=True)
                    self._file = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115 - closed by `close`
                if self._file is not None:
                    self._bring(self._file)
            except OSError as error:
                told = error.strerror or str(error)
                raise RefusalError(507, f"the body cannot be kept while it is read: {told}") from error
            finally:
                if self._closed:
                    self._drop()
        if self._closed:
            self.close()  # it was asked for in the very moment between the two

    def _bring(self, file: BinaryIO) -> None:
        while self._pieces:
            piece = self._pieces.popleft()
            file.write(piece)
            self._written += len(piece)
        file.flush()

    def read(self) -> BinaryIO:
        """All of the body, from its start, after what was taken is written. The file goes with the spool."""
        self.write()
        with self._lock:
            if self._file is None:
                raise RefusalError(503, "the body is gone: its caller has left")
            again = os.fdopen(os.dup(self._file.fileno()), "rb")
        again.seek(0)
        return again

    @property
    def closed(self) -> bool:
        """Whether nothing is kept any more, or soon will not be."""
        return self._closed

    def close(self) -> None:
        """Lets the file go, once a write that is under way is over; waits for nothing."""
        self._closed = True
        if self._lock.acquire(blocking=False):
            self._drop()
            self._lock.release()

    def _drop(self) -> None:
        self._pieces.clear()
        if self._file is not None:
            self._file.close()
            self._file = None
