"""Load and energy from outside the worker; what it ran on."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.training.tracking import energy
from trimtab.training.tracking.environment import environment, installed
from trimtab.training.tracking.meter import Meter
from trimtab.training.tracking.processes import machine_busy, usage

SPIN = """
import subprocess, sys, time
spin = "import time\\nwhile time.process_time() < 0.3: pass"
subprocess.run([sys.executable, "-c", spin])
exec(spin)
print("done", flush=True)
time.sleep(60)
"""


def test_a_process_and_its_children_are_counted_also_after_they_ended():
    process = subprocess.Popen([sys.executable, "-c", SPIN], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline() == "done\n"
        found = usage(process.pid)
        told = psutil.Process(process.pid)
        times = told.cpu_times()
        whole = times.user + times.system + times.children_user + times.children_system
        assert found.cpu_seconds == pytest.approx(whole, abs=0.05)
        assert found.cpu_seconds >= 0.58
        assert found.resident == pytest.approx(told.memory_info().rss, rel=0.1)
    finally:
        process.kill()
        process.communicate()
    assert usage(process.pid) == (0, 0.0)


def test_a_meter_counts_from_its_first_look_and_over_several_workers():
    meter = Meter(None)
    for _ in range(2):
        process = subprocess.Popen([sys.executable, "-c", SPIN], stdout=subprocess.PIPE, text=True)
        try:
            meter.look(process.pid)
            assert process.stdout.readline() == "done\n"
            meter.look(process.pid)
        finally:
            process.kill()
            process.communicate()
    used = meter.end()
    assert 1.1 < used.load.cpu_seconds < 3
    assert used.load.cores_busy == pytest.approx(used.load.cpu_seconds / used.seconds)
    assert used.load.memory_peak >= used.load.memory_mean > 2**20
    assert {name for _, name, _ in used.samples} <= {"cpu", "memory"}
    assert (
        used.energy.joules
        == pytest.approx(
            energy.CORE_WATTS * used.load.cpu_seconds
            + energy.MEMORY_WATTS * used.load.memory_mean / 1e9 * used.seconds,
            rel=1e-6,
        )
        or "RAPL" in used.energy.basis
    )


def package(home: Path, number: int, count: int, end: int = 1000) -> None:
    place = home / f"intel-rapl:{number}"
    place.mkdir(exist_ok=True)
    (place / "name").write_text(f"package-{number}\n")
    (place / "energy_uj").write_text(f"{count}\n")
    (place / "max_energy_range_uj").write_text(f"{end}\n")


@given(found=st.lists(st.tuples(st.integers(0, 999), st.integers(0, 998)), min_size=1, max_size=3))
def test_counters_that_begin_again_are_followed(found, tmp_path_factory):
    home = tmp_path_factory.mktemp("powercap")
    for number, (first, _) in enumerate(found):
        package(home, number, first, 999)
    (home / "intel-rapl:0:0").mkdir()  # the cores alone: in the package's count already
    before = energy.counters(home)
    for number, (first, more) in enumerate(found):
        package(home, number, (first + more) % 1000, 999)
    assert energy.since(before, energy.counters(home)) == pytest.approx(sum(more for _, more in found) / 1e6)


def test_counters_that_cannot_be_read_are_none(tmp_path):
    assert energy.counters(tmp_path) == ()
    package(tmp_path, 0, 5)
    (tmp_path / "intel-rapl:0" / "energy_uj").write_text("broken")
    assert energy.counters(tmp_path) == ()
    assert energy.since((), ()) is None


def test_the_estimate_says_what_it_was_told_from():
    known = {"cpu_seconds": 10.0, "seconds": 20.0, "memory": 1e9, "gpu_joules": None, "has_gpu": False}
    plain = energy.estimated(**known, package_joules=None, machine_busy=40.0)
    assert plain.joules == pytest.approx(12.0 * 10 + 0.3725 * 20)
    counted = energy.estimated(**known, package_joules=100.0, machine_busy=40.0)
    assert counted.joules == pytest.approx(100.0 * 0.25 + 0.3725 * 20)
    assert "25%" in counted.basis
    gpu = energy.estimated(**known | {"gpu_joules": 50.0, "has_gpu": True}, package_joules=None, machine_busy=None)
    assert gpu.joules == pytest.approx(plain.joules + 50)
    unseen = energy.estimated(**known | {"has_gpu": True}, package_joules=None, machine_busy=None)
    assert "the GPU is not counted" in unseen.basis


def test_the_libraries_are_those_that_are_installed():
    found = environment(2, None).libraries
    for name in ("numpy", "polars", "scikit-learn", "msgspec"):
        assert found[name] == metadata.version(name)
    assert installed(["/nowhere"]) == {}


def test_the_machine_is_told_without_its_name():
    there = environment(2, None)
    assert there.threads == 2
    assert 1 <= there.cores <= (os.cpu_count() or 1)
    assert there.memory == psutil.virtual_memory().total
    assert os.uname().nodename not in f"{there.system} {there.processor}" or os.uname().nodename in ("", "localhost")
    assert machine_busy() is None or machine_busy() > 0


def test_what_is_asked_of_gpus_can_be_asked():
    """There is none where tests run: at least the library has every function that is called."""
    import ast

    import pynvml

    from trimtab.training.tracking import gpu

    tree = ast.parse(Path(gpu.__file__).read_text("utf-8"))
    called = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute) and node.attr.startswith("nvml")}
    assert "nvmlDeviceGetTotalEnergyConsumption" in called
    assert all(callable(getattr(pynvml, name)) for name in called)
    assert gpu.Gpus.found() is None or gpu.Gpus.found().use() is not None
