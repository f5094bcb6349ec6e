"""Run backtests of several policies at once, each in a process of its own, with their progress."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from trimtab.errors import PermanentError

if TYPE_CHECKING:
    from trimtab.cli.progress import Board, Stage
    from trimtab.records.studies import BacktestFinished


def one_thread_each() -> None:
    """Have this process and those it starts handle tables and matrices with one thread, unless the environment says
    otherwise: the steps of a replay have few rows each, and threads that wait for each other take twice the time. Call
    it before anything imports Polars or NumPy."""
    for name in ("POLARS_MAX_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(name, "1")


class Running:
    """One policy's backtest in another process."""

    def __init__(self, args: argparse.Namespace, policy: str, folder: Path, stage: Stage) -> None:
        self.policy = policy
        self._stage = stage
        self._result = folder / f"{policy.replace(':', '-')}.json"
        self._log = self._result.with_suffix(".log")
        command = [sys.executable, "-m", "trimtab.cli.main", "backtest", args.system, "--only", policy]
        command += ["--into", str(self._result)]
        command += ["--state", str(args.state)] if args.state else []
        for name in ("until", "window"):
            value = getattr(args, name, None)
            command += [f"--{name}", value] if value else []
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=log)

    def follow(self) -> bool:
        """Show how far it is; true while it runs."""
        try:
            moment, done, steps = msgspec.json.decode(
                self._result.with_suffix(".progress").read_bytes(), type=tuple[datetime, int, int]
            )
            self._stage.show(moment, done, steps)
        except (OSError, msgspec.MsgspecError):
            pass  # nothing to show yet, or half of it
        return self._process.poll() is None

    def result(self) -> BacktestFinished:
        """What it came to. Raises PermanentError with the process's own words when it failed."""
        from trimtab.records.studies import BacktestFinished

        if self._process.wait() != 0:
            words = self._log.read_text("utf-8", "replace").strip().removeprefix("trimtab: ")
            raise PermanentError(
                f"the backtest of {self.policy} failed: {words.splitlines()[-1] if words else 'no word'}"
            )
        return msgspec.json.decode(self._result.read_bytes(), type=BacktestFinished)

    def end(self) -> None:
        """Stop it, if it still runs."""
        if self._process.poll() is None:
            self._process.terminate()
            self._process.wait()


def run_policies(args: argparse.Namespace, policies: list[str], board: Board) -> list[BacktestFinished]:
    """Results in the order of `policies`. The first runs alone until its first model stands, so that the others find it
    trained; then as many at once as there are cores."""
    with tempfile.TemporaryDirectory(prefix="trimtab-backtest-") as scratch:
        folder = Path(scratch)
        stages = {policy: board.stage(f"backtest {policy}") for policy in policies}
        waiting, running = list(policies), list[Running]()
        done: dict[str, BacktestFinished] = {}
        try:
            while waiting or running:
                alone = len(running) == 1 and not done and not (folder / f"{running[0].policy}.progress").exists()
                while waiting and not alone and len(running) < max(1, os.cpu_count() or 1):
                    policy = waiting.pop(0)
                    running.append(Running(args, policy, folder, stages[policy]))
                    alone = not done and len(running) == 1
                board.wait(0.2)
                for one in [r for r in running if not r.follow()]:
                    running.remove(one)
                    done[one.policy] = one.result()
        finally:
            for one in running:
                one.end()
    return [done[policy] for policy in policies]
