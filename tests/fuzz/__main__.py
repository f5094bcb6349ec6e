"""Coverage-guided fuzzing: `python -m tests.fuzz TARGET --seconds 600 [--folder DIR]`, from the repository's root.

Needs atheris (`tools/component atheris`; `make fuzz` does it all). Without it the inputs are changed by chance alone.
Ends with 0 when nothing was found; else the input lies in the folder, and the words before the end say what is wrong.
What a finding was is kept in tests/fuzz/findings, named TARGET-WHAT, where the tests hold it to stay mended.
"""

from __future__ import annotations

import argparse
import importlib.util
import random
import resource
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType

TARGETS = ("http", "columns", "pictures")
_INSTRUMENTED = ["trimtab.serving", "trimtab.inference.tensors", "trimtab.inference.encode"]
_HANGS = 25
_GROWTH = 400  # MiB that the process may have beyond what it needs to begin


def main() -> int:
    """Reads the command line and fuzzes."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description="fuzz the server")
    parser.add_argument("target", choices=TARGETS)
    parser.add_argument("--seconds", type=int, default=60, help="how long (default: 60)")
    parser.add_argument("--folder", type=Path, help="where the corpus grows and findings are left (default: a new one)")
    parser.add_argument("--seed", type=int, default=0, help="of the chance (default: another each time)")
    asked = parser.parse_args()
    folder = asked.folder or Path(tempfile.mkdtemp(prefix=f"fuzz-{asked.target}-"))
    folder.mkdir(parents=True, exist_ok=True)
    print(f"fuzzing {asked.target} for {asked.seconds} s in {folder}", flush=True)
    if importlib.util.find_spec("atheris") is None:
        print("without atheris: by chance alone, blind to what is covered", flush=True)
        return by_chance(asked.target, asked.seconds, folder, asked.seed or time.time_ns())
    by_coverage(asked.target, asked.seconds, folder, asked.seed)
    return 0


def made(target: str) -> tuple[Callable[[bytes], None], list[bytes]]:
    """The target and where to begin."""
    from tests.fuzz.http import HttpTarget
    from tests.fuzz.seeds import inputs, picture_inputs, requests
    from tests.fuzz.server import ServerTarget

    if target == "http":
        return HttpTarget(Path(tempfile.mkdtemp(prefix="fuzz-"))), requests()
    if target == "columns":
        return ServerTarget(), inputs()
    return ServerTarget(pictures=True), picture_inputs()


def by_coverage(target: str, seconds: int, folder: Path, seed: int) -> None:
    """Ends the process: libFuzzer does."""
    import atheris

    with atheris.instrument_imports(include=_INSTRUMENTED):
        call, seeds = made(target)
    from tests.fuzz.chance import other_values
    from tests.fuzz.seeds import WORDS

    corpus = folder / "corpus"
    corpus.mkdir(exist_ok=True)
    for number, one in enumerate(seeds):
        (corpus / f"seed-{number:03d}").write_bytes(one)
    words = folder / "words"
    words.write_text("".join('"' + "".join(f"\\x{byte:02x}" for byte in word) + '"\n' for word in WORDS))

    def changed(data: bytes, most: int, number: int) -> bytes:
        if target != "http" and number % 2:
            return other_values(data, random.Random(number))[:most]
        return bytes(atheris.Mutate(data, most))

    options = [
        f"-max_total_time={seconds}", "-max_len=4096", f"-timeout={_HANGS}", f"-rss_limit_mb={_peak() + _GROWTH}",
        f"-artifact_prefix={folder}/", f"-dict={words}", "-print_final_stats=1", "-verbosity=1", "-reload=0",
        *([f"-seed={seed}"] if seed else []),
    ]  # fmt: skip
    atheris.Setup([sys.argv[0], *options, str(corpus)], call, custom_mutator=changed)
    atheris.Fuzz()


def by_chance(target: str, seconds: int, folder: Path, seed: int) -> int:
    """1 when something was found."""
    from tests.fuzz.chance import changed

    call, seeds = made(target)
    signal.signal(signal.SIGALRM, _hangs)
    until, count = time.monotonic() + seconds, 0
    before = _used()
    for data in changed(seeds, sys.maxsize, seed, json=target != "http"):
        signal.alarm(_HANGS)
        try:
            call(data)
            assert count % 1000 or _used() < before + _GROWTH, f"grown from {before} to {_used()} MiB"
        except BaseException:
            left = folder / f"finding-{count}"
            left.write_bytes(data)
            print(f"found after {count:,} runs: see {left}", flush=True)
            raise
        count += 1
        if time.monotonic() > until:
            break
    signal.alarm(0)
    print(f"done {count:,} runs, nothing found; {_used()} MiB", flush=True)
    return 0


def _hangs(_: int, __: FrameType | None) -> None:
    raise TimeoutError(f"no end after {_HANGS} s")


def _used() -> int:
    import psutil

    return int(psutil.Process().memory_info().rss) >> 20


def _peak() -> int:
    """What libFuzzer takes for the memory in use: the peak, which begins at that of the process before this one."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10


if __name__ == "__main__":
    sys.exit(main())
