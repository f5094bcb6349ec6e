"""The embedded target: one prediction server, a process of its own on this machine."""

from __future__ import annotations

import fcntl
import http.client
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote, urlsplit

import msgspec

from trimtab.errors import PermanentError, TemporaryError
from trimtab.records.durable import write_atomically
from trimtab.records.layout import Layout
from trimtab.records.model import Routes
from trimtab.records.owner import owner_token
from trimtab.records.server import ServerConfig, ServerInfo, ServerStatus

_PAUSE = 0.01
_STARTS = 5
_NO_CHECK_TIME = 0x200000  # X509_V_FLAG_NO_CHECK_TIME, which the ssl module has no name for
_LOG_LIMIT = 8 * 2**20
LEAN = {"MALLOC_ARENA_MAX": "2", "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}  # 15 MB less, no idle threads
_QUIET = {
    "GRPC_VERBOSITY": "ERROR"
}  # its log is for people: gRPC writes lines of its own whenever a process is started


def environment_of(given: Mapping[str, str]) -> dict[str, str]:
    """What a server's process is started with."""
    return _QUIET | dict(given) | LEAN


class LocalServer:
    """Runs `python -m trimtab.serving` on a state folder, in a process group of its own.

    `config` is written where the server finds it; with port 0 any free port is taken and `url` tells it. A server that
    already runs on the folder (this process died and was started again) is taken over rather than doubled; one that
    serves other systems as well is used and left running. With `linked` the server ends when this process does, however
    that ends. `token` is the bearer token, where one is set.
    """

    def __init__(
        self,
        state: Path,
        config: ServerConfig,
        *,
        token: str | None = None,
        linked: bool = False,
        patience: float = 20.0,
    ) -> None:
        self._layout = Layout(state)
        self.config = config
        self._given = token
        self._linked = linked
        self._patience = patience
        self._process: subprocess.Popen[bytes] | None = None
        self._adopted = 0
        self._lock = threading.RLock()
        self._keeper: threading.Thread | None = None
        self._leaving = threading.Event()

    @property
    def token(self) -> str | None:
        """A token that this server takes: that of the folder's owner, before it has started the one that was given."""
        return owner_token(self._layout.owner_token) or self._given

    @property
    def log(self) -> Path:
        """What the server printed."""
        return self._layout.serve / "server.log"

    @property
    def pid(self) -> int | None:
        """The process of the server on this folder, whoever started it; None when none is running."""
        own = self._own()
        if own is not None:
            return own
        info = self._info()
        return info.pid if info is not None and _serves(info.pid, self._layout.root) else None

    @property
    def url(self) -> str:
        """Where callers reach it. Raises TemporaryError when it is not running."""
        info = self._info()
        if info is None or info.pid != self.pid:
            raise TemporaryError("the prediction server is not running")
        return info.url

    def start(self) -> None:
        """Starts the server unless one runs, and waits until it takes requests (well under a second).

        Raises PermanentError with the server's own last words when it ends instead, TemporaryError when it is late.
        """
        with self._lock:
            if self._own() is not None or self._taken_over():
                return
            encoded = msgspec.json.format(msgspec.json.encode(self.config))
            write_atomically(self._layout.serve_config, encoded, mode=0o600)
            for _ in range(_STARTS):
                self._process, self._adopted = self._spawn(), 0
                if self._comes_up(self._process):
                    return
            raise TemporaryError(f"the prediction server was killed {_STARTS} times as it started")

    def turn_telemetry(self) -> None:
        """Have the server end the telemetry segments that it writes, if it runs."""
        pid = self.pid
        if pid is not None:
            _signal(pid, signal.SIGHUP)

    def stop(self) -> None:
        """Ends the server that this object started or took over: in order within the time-out, by force after it."""
        self._leaving.set()
        if self._keeper is not None:
            self._keeper.join()
            self._keeper = None
        with self._lock:
            pid = self._own()
            info = self._info()
            if pid is not None and info is not None and info.pid == pid and len(info.systems) > 1:
                pid = None  # it serves other systems as well: it is not this one's to end
            if pid is not None:
                _signal(pid, signal.SIGTERM)
                if not _until(lambda: self._own() is None and _gone(pid), self._patience + 20.0):
                    _signal(pid, signal.SIGKILL)
                    _until(lambda: self._own() is None and _gone(pid), 5.0)
            self._process, self._adopted = None, 0
        self._leaving.clear()

    def keep_running(self, told: Callable[[str], None] = lambda _: None) -> None:
        """Watches the server from a thread and starts it again whenever it has ended, until `stop`; `told` hears."""
        if self._keeper is None:
            self._keeper = threading.Thread(target=self._keep, args=(told,), name="keep-server", daemon=True)
            self._keeper.start()

    def apply(self, routes: Routes) -> None:
        """Writes the routes and waits until they are in force. Raises PermanentError with the server's own reason when
        they cannot be (the former routes stay), TemporaryError when the server does not run or is late."""
        write_atomically(self._layout.routes, msgspec.json.encode(routes))
        until = time.monotonic() + self._patience
        while True:
            status = self.status()
            if status is not None:
                if status.applied == routes.generation:
                    return
                if status.wanted == routes.generation and status.error:
                    raise PermanentError(f"generation {routes.generation} is not in force: {status.error}")
            if time.monotonic() > until:
                why = "the prediction server does not answer" if status is None else "it is still loading"
                raise TemporaryError(f"generation {routes.generation} is not in force: {why}")
            time.sleep(_PAUSE)

    def status(self) -> ServerStatus | None:
        """What the server says about itself; None when it is not running. Raises PermanentError when it does not take
        the token."""
        info = self._info()
        if info is None or info.pid != self.pid:
            return None
        try:
            code, body = self._get(info, f"/trimtab/status/{quote(self.config.system, safe='')}")
        except (OSError, http.client.HTTPException):
            return None
        if code == 401:
            raise PermanentError("the prediction server does not take the token", hint="restart it with the new one")
        return msgspec.json.decode(body, type=ServerStatus) if code == 200 else None

    def _own(self) -> int | None:
        """The running server that this object started or took over."""
        with self._lock:
            if self._process is not None:
                return self._process.pid if self._process.poll() is None else None
            return self._adopted if self._adopted and _serves(self._adopted, self._layout.root) else None

    def _taken_over(self) -> bool:
        """Whether a server that answered on this folder was taken over. One that is still coming up or on its way out
        (it belongs to a process that was killed) is waited for: until it has ended no other can start."""
        found = False

        def clear() -> bool:
            nonlocal found
            info = self._info()
            if info is not None and _serves(info.pid, self._layout.root):
                if _orphaned(info.pid):  # it ends by itself, soon
                    _signal(info.pid, signal.SIGTERM)
                elif self._answers(info):
                    self._process, self._adopted, found = None, info.pid, True
            return found or _is_free(self._layout.server_lock)

        if not _until(clear, self._patience):
            raise TemporaryError(f"a prediction server on {self._layout.root} neither answers nor ends")
        return found

    def _keep(self, told: Callable[[str], None]) -> None:
        pause = 0.05
        while not self._leaving.wait(pause):
            if self._own() is not None:
                pause = 0.05
                continue
            try:
                told("the prediction server has ended: starting it again")
                self.start()
            except (PermanentError, TemporaryError) as error:
                told(str(error))
                pause = min(2 * pause, 5.0)

    def _spawn(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "trimtab.serving", "--state", str(self._layout.root.absolute())]
        if self._linked:
            command += ["--parent", str(os.getpid())]
        with suppress(OSError):
            if self.log.stat().st_size > _LOG_LIMIT:
                self.log.replace(self.log.with_suffix(".log.old"))
        environment = environment_of(os.environ)
        with self.log.open("ab") as log:
            return subprocess.Popen(
                command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )

    def _comes_up(self, process: subprocess.Popen[bytes]) -> bool:
        """Waits until it takes requests. False when someone killed it meanwhile: that says nothing about the next."""

        def up() -> bool:
            info = self._info()
            return process.poll() is not None or (info is not None and info.pid == process.pid and self._answers(info))

        late = not _until(up, self._patience)
        if process.poll() is not None:
            self._process = None
            if process.returncode == -signal.SIGKILL:
                return False
            words, mend = self._last_words()
            if "already in use" in words:
                mend = "set port of [serve], or stop what has it"
            see = f"see {self.log}"
            raise PermanentError(
                f"the prediction server ended at once: {words}", hint=f"{mend}; {see}" if mend else see
            )
        if late:
            _signal(process.pid, signal.SIGKILL)
            process.wait()
            self._process = None
            raise TemporaryError(f"the prediction server did not answer within {self._patience:g} s")
        return True

    def _last_words(self) -> tuple[str, str]:
        """What the server said last, and its mend."""
        lines = self.log.read_text(errors="replace").strip().splitlines()
        place = next((at for at in range(len(lines) - 1, -1, -1) if lines[at].startswith("error: ")), len(lines) - 1)
        said, below = lines[place : place + 1], lines[place + 1 : place + 2]
        mend = [line.removeprefix("  hint: ") for line in below if line.startswith("  hint: ")]
        return "".join(said).removeprefix("error: ") or "no words", "".join(mend)

    def _answers(self, info: ServerInfo) -> bool:
        try:
            return self._get(info, "/v2/health/live")[0] == 200
        except (OSError, http.client.HTTPException):
            return False

    def _get(self, info: ServerInfo, path: str) -> tuple[int, bytes]:
        connection = self._connection(info)
        try:
            token = self.token
            headers = {"authorization": f"Bearer {token}"} if token else {}
            connection.request("GET", path, headers=headers)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def _connection(self, info: ServerInfo) -> http.client.HTTPConnection:
        """Over TLS the server must show the very certificate that it left a copy of, whatever its name and time."""
        address = urlsplit(info.url).netloc
        if not info.tls:
            return http.client.HTTPConnection(address, timeout=5.0)
        import ssl  # 10 ms that are only spent where there is TLS

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN | _NO_CHECK_TIME
        context.load_verify_locations(self._layout.certificate)
        return http.client.HTTPSConnection(address, timeout=5.0, context=context)

    def _info(self) -> ServerInfo | None:
        with suppress(OSError, msgspec.MsgspecError):
            return msgspec.json.decode(self._layout.server.read_bytes(), type=ServerInfo)
        return None


def _serves(pid: int, state: Path) -> bool:
    """Whether that process is a prediction server on that folder (and not one that has taken its number since)."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return b"trimtab.serving" in words and str(state.absolute()).encode() in words and not _gone(pid)


def _is_free(lock: Path) -> bool:
    """Whether no server, not even one that only starts, holds that file's lock."""
    try:
        descriptor = os.open(lock, os.O_RDWR)
    except OSError:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True


def _orphaned(pid: int) -> bool:
    """Whether that server was to end with a process that has ended."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return b"--parent" in words and _gone(int(words[words.index(b"--parent") + 1]))


def _gone(pid: int) -> bool:
    """Whether that process has ended and let go of all it held (an ending one has no command line long before)."""
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] == b"Z"
    except OSError:
        return True


def _signal(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def _until(done: Callable[[], bool], seconds: float) -> bool:
    until = time.monotonic() + seconds
    while not done():
        if time.monotonic() > until:
            return False
        time.sleep(_PAUSE)
    return True
