"""The compiled protocol is that of the .proto, and the .proto has the standard's field numbers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import trimtab.serving.grpc
from trimtab.serving.grpc.messages import Messages

FOLDER = Path(trimtab.serving.grpc.__file__).parent


def test_the_compiled_file_is_that_of_the_proto(tmp_path: Path) -> None:
    made = tmp_path / "made.binpb"
    words = [f"--proto_path={FOLDER}", f"--descriptor_set_out={made}", "open_inference.proto"]
    subprocess.run([sys.executable, "-m", "grpc_tools.protoc", *words], check=True, timeout=30)
    assert made.read_bytes() == (FOLDER / "open_inference.binpb").read_bytes(), "run tools/protos"


def test_a_request_on_the_wire_is_as_the_standard_says() -> None:
    message = Messages()["ModelInferRequest"](model_name="m", model_version="v", id="i")
    message.inputs.add(name="x", datatype="FP32", shape=[1])
    message.outputs.add(name="y")
    message.raw_input_contents.append(b"\0\0\x80?")
    wire = b"\x0a\x01m\x12\x01v\x1a\x01i*\x0c\x0a\x01x\x12\x04FP32\x1a\x01\x012\x03\x0a\x01y:\x04\0\0\x80?"
    assert message.SerializeToString() == wire
