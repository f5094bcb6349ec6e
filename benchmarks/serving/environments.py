"""The peers, each in an environment of its own: made once in a work folder, never in ours."""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path

_RUNTIME = ("onnxruntime==1.31.1", "numpy==2.4.6")
PEERS = {
    "fastapi": ("fastapi==0.165.0", "uvicorn[standard]==0.54.0", "orjson==3.13.0", *_RUNTIME),
    "mlflow": ("mlflow==3.17.2", "uvloop==0.23.0", "httptools==0.9.0", "onnx", *_RUNTIME),
    "bentoml": ("bentoml==1.4.39", *_RUNTIME),
    "litserve": ("litserve==0.2.19", "orjson==3.13.0", *_RUNTIME),
    "mlserver": ("mlserver==1.7.1", "uvloop<0.22", "httptools", "onnxruntime", "numpy"),
}


def python_of(peer: str, folder: Path) -> Path | None:
    """The Python of a peer's environment, made when it is not there; None where it cannot be installed."""
    wanted = "\n".join(PEERS[peer])
    home = folder / peer
    python, made = home / "bin" / "python", home / "made-of.txt"
    if made.exists() and made.read_text("utf-8") == wanted:
        return python
    print(f"installing {peer} ...", file=sys.stderr, flush=True)
    venv.create(home, with_pip=True, clear=True)
    command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *PEERS[peer]]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        print(f"{peer} cannot be installed: {done.stderr.strip().splitlines()[-1:]}", file=sys.stderr, flush=True)
        return None
    made.write_text(wanted, "utf-8")
    return python
