"""ONNX Runtime: how it is loaded, and a graph in one of its sessions."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from trimtab.errors import PermanentError


def runtime() -> Any:
    """ONNX Runtime. It is told, before it is imported, to send nothing home: its builds for Linux report to their maker
    what models they load, with an identifier that they leave in the user's cache folder, unless this is set. Whoever
    sets ORT_DISABLE_TELEMETRY=0 has asked for it."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime  # here: reading records must not load the runtime

    return onnxruntime


def open_session(onnx: bytes | Path, *, threads: int = 1, trial: bool = False) -> Any:
    """A session of ONNX Runtime; raises PermanentError when the graph does not make one. From a file it is loaded
    without holding up the other threads of the process; bytes are read under the interpreter's lock. What goes wrong
    in a `trial` is raised, and nothing else said of it."""
    onnxruntime = runtime()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4 if trial else 3
    # A spinning thread would take a core from the rest of the machine between two requests.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        graph = str(onnx) if isinstance(onnx, Path) else onnx
        return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the runtime's errors share no root
        raise PermanentError(f"the model cannot be loaded: {str(error).splitlines()[0]}") from error
