"""Use of processor, memory and graphics cards."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from trimtab.errors import PermanentError
from trimtab.monitoring.resources import gpu_use, machine_use, parse_gpus, process_use

CARD = "0, NVIDIA H200, 37, 1024, 143771\n1, NVIDIA H200 MIG 1g.18gb, [N/A], 0, 143771\nnonsense\n"


def test_a_process_that_holds_memory_and_computes_is_seen_with_its_children() -> None:
    script = (
        "import subprocess, sys; held = bytearray(60_000_000); sum(i * i for i in range(2_000_000));"
        "child = subprocess.Popen([sys.executable, '-c', 'input()'], stdin=subprocess.PIPE);"
        "print('ready', flush=True);"
        "input(); child.kill(); child.wait()"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        use = process_use(process.pid)
        process.communicate(b"\n")
    assert use.pid == process.pid
    assert use.processes == 2
    assert use.memory > 60_000_000
    assert use.cpu_seconds > 0.05
    assert use.threads >= 2
    with pytest.raises(PermanentError, match=f"process {process.pid} cannot be measured"):
        process_use(process.pid)


def test_this_machine() -> None:
    use = machine_use()
    assert use.cpus == os.cpu_count()
    assert 0 < use.memory < use.memory_total
    assert use.load >= 0


def test_cards_are_read_as_nvidia_smi_tells_them() -> None:
    first, second = parse_gpus(CARD)
    assert (first.index, first.name, first.busy) == (0, "NVIDIA H200", 0.37)
    assert (first.memory, first.memory_total) == (2**30, 143771 * 2**20)
    assert second.busy is None


def test_a_machine_without_cards_or_with_a_sick_driver_has_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert gpu_use() == ()
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\nexit 9\n")
    tool.chmod(tool.stat().st_mode | stat.S_IXUSR)
    assert gpu_use() == ()
    tool.write_text("#!/bin/sh\nexec /bin/sleep 5\n")
    assert gpu_use(timeout=0.2) == ()
    tool.write_text(f"#!/bin/sh\nprintf '{CARD.replace(chr(10), chr(92) + 'n')}'\n")
    assert [card.index for card in gpu_use()] == [0, 1]
