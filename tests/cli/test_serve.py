"""`trimtab serve`: what it may be asked for, and that the pages ask for nothing else."""

from __future__ import annotations

import argparse
import json
import re
import resource
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from tests.cli.conftest import Place, real
from tests.cli.test_live import ROW
from tests.serving import models

from trimtab.cli.main import main
from trimtab.cli.serve import arguments
from trimtab.serving.client.sync import Client

PAGES = (Path(__file__).parents[2] / "docs").glob("*.md")
EXAMPLES = [
    line
    for page in PAGES
    for line in re.findall(r"^(?:\$ |ExecStart=\S*/)trimtab serve(.*)$", page.read_text("utf-8"), re.MULTILINE)
]


@pytest.mark.parametrize("words", EXAMPLES)
def test_what_pages_show_is_understood(words: str) -> None:
    parser = argparse.ArgumentParser(exit_on_error=False)
    arguments(parser)
    asked = parser.parse_args(shlex.split(words, comments=True))
    assert asked.processes is not None or len(asked.systems) > 1


@pytest.mark.parametrize(("words", "told"), [
    (["--processes", "none"], "'none' is not a number of processes from 1 to 1,024, nor `auto`"),
    (["--processes", "0"], "'0' is not a number of processes"),
    (["a", "b", "--state", "c"], "--state names the state folder of one system"),
])  # fmt: skip
def test_what_makes_no_sense_is_refused(words: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    try:
        code = main(["serve", *words])
    except SystemExit as ended:
        code = int(ended.code or 0)
    assert code == 2
    assert told in capsys.readouterr().err


@pytest.mark.parametrize(("words", "told"), [
    (["serve", "none.onnx"], "none.onnx: there is no such model file (name an ONNX file, or the folder"),
    (["serve", "model.pkl"], "model.pkl: a model of the kind .pkl is never loaded (export it to ONNX and serve that"),
    (["serve", "picture.png"], "is not UTF-8 text (name the folder that holds a trimtab.toml, or a model file (.onnx"),
    (["status", "model.onnx"], "this is a model file, which declares no system (`trimtab serve`, `telemetry` and"),
    (["telemetry", "list", "none.onnx"], "none.onnx: there is no such model (name the file that was served)"),
    (["telemetry", "prune", "model.onnx"], "the telemetry of a model file is pruned by hand"),
])  # fmt: skip
def test_a_file_of_another_kind_is_told_from_a_declaration(
    words: list[str], told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("model.pkl", "model.onnx", "picture.png"):
        Path(name).write_bytes(b"\x80\x04\x95")
    assert main(words) == 2
    assert told in capsys.readouterr().err


def test_tokens_are_made_for_a_model_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("model.onnx").touch()
    assert main(["token", "add", "model.onnx", "me"]) == 0
    assert Path(".model.trimtab/serve/tokens.json").is_file()
    assert main(["token", "list", "model.onnx"]) == 0
    assert "me     predict" in capsys.readouterr().out
    assert main(["telemetry", "list", "model.onnx"]) == 0
    assert capsys.readouterr().out == "nothing was answered yet\n"


def test_a_port_in_use_names_the_file_that_says_another(tmp_path: Path, free_port: int) -> None:
    (tmp_path / "line.onnx").write_bytes(models.linear([1.0, 0.0]))
    (tmp_path / "line.toml").write_text(f"[serve]\nport = {free_port}\n")
    with socket.create_server(("127.0.0.1", free_port)):
        ran = real("serve", tmp_path / "line.onnx")
    assert (ran.code, ran.out) == (1, "")
    assert "(another program listens there: declare another `port` in [serve] of line.toml)" in ran.err


def test_a_certificate_that_cannot_be_shown_is_told_before_anything_is_served(
    lived: Place, free_port: int, tmp_path: Path
) -> None:
    lived.edit("trimtab.toml", "port = 8080", f'port = {free_port}\ntls_cert = "chain.pem"\ntls_key = "key.pem"')
    for content, told in ((None, "chain.pem cannot be read"), ("junk", "one of them is not in PEM form")):
        if content is not None:
            for name in ("chain.pem", "key.pem"):
                (lived.folder / name).write_text(content)
        ran = real("serve", lived)
        assert (ran.code, ran.out) == (1, "")
        assert told in ran.err


def test_several_systems_and_processes_follow_their_own_loops(lived: Place, tmp_path: Path, free_port: int) -> None:
    shutil.copytree(lived.folder, tmp_path / "other")
    other = Place(tmp_path / "other")
    lived.edit("trimtab.toml", "port = 8080", f"port = {free_port}")
    other.edit("trimtab.toml", 'name    = "pump-alarm"', 'name    = "fan-alarm"\nformerly = "pump-alarm"')
    command = [sys.executable, "-m", "trimtab.cli.main", "serve", str(lived), str(other), "--processes", "2", "--json"]
    serving = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        url = f"http://127.0.0.1:{free_port}"
        with Client(url, system="pump-alarm") as pumps, Client(url, system="fan-alarm") as fans:
            assert pumps.predict([ROW], ["one"])[0].release == "r-001"
            assert fans.predict([ROW], ["one"])[0].release == "r-001"
            assert len(pumps.status().processes) == 2
            other.edit("trimtab.toml", "C = 1.0", "C = 0.001")
            assert real("run", other).code == 0
            ran = real("promote", other, "r-002")
            assert ran.code == 0 or "is live already" in ran.out
            for _ in range(4):
                with Client(url, system="fan-alarm") as anew:
                    assert anew.predict([ROW])[0].release == "r-002"
            assert pumps.predict([ROW], ["two"])[0].release == "r-001"
        assert real("serve", other).code == 1  # it is served already
    finally:
        serving.send_signal(signal.SIGTERM)
        out, _ = serving.communicate(timeout=40)
    assert serving.returncode == 0
    told = json.loads(out)
    assert (told["port"], [one["system"] for one in told["systems"]]) == (free_port, ["pump-alarm", "fan-alarm"])


def test_the_status_tells_what_is_wrong_with_the_server(lived: Place, free_port: int) -> None:
    """Rows that were answered and not kept, by a disk that takes no more, are no secret of the server's log."""
    lived.edit("trimtab.toml", "port = 8080", f'port = {free_port}\ntelemetry_full = "answer"')
    command = [sys.executable, "-m", "trimtab.cli.main", "serve", str(lived)]
    serving = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        with Client(f"http://127.0.0.1:{free_port}") as client:
            client.predict([ROW])
            assert "the server:" not in real("status", lived).out
            pid = client.status().pid
            limits = resource.prlimit(pid, resource.RLIMIT_FSIZE)
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (10, limits[1]))
            client.predict([ROW] * 3)
            out = " ".join(real("status", lived).out.split())
            document = real("status", lived, "--json").json
        assert "the server: telemetry cannot be written: File too large" in out
        assert "the server: 3 rows were answered and not kept since the server started" in out
        first, second = document["trouble"]["server"]
        assert "telemetry cannot be written: File too large" in first
        assert second == "3 rows were answered and not kept since the server started"
    finally:
        serving.send_signal(signal.SIGTERM)
        serving.communicate(timeout=40)
    assert "the server:" not in real("status", lived).out
    document = real("status", lived, "--json").json
    assert (document["trouble"], document["live"]["release"]) == ({"server": [], "trackers": []}, "r-001")
