"""Images a second of the prediction server, against the model alone, in the same run.

    python benchmarks/serving/images.py [--seconds 4] [--rounds 3] [--connections 1 64] [--jpeg]

A convolutional network of four layers (80 M multiplications) on uint8 pixels [3, 128, 128], one image a request, in the
binary tensor extension of the Open Inference Protocol; with `--jpeg` also as JPEG files of 640 x 480, decoded in the
server. Trimtab is one process with everything on: token, validation, routing, metrics, telemetry. The bound runs the
same graph in as many single-thread sessions as there are cores, one image a run, with nothing around it. The load is
`wrk` with one thread, in turns with the bound; each figure is the median of the rounds. CPU is that of the process over
the images it scored: on a busy machine it says more than images a second.
"""

from __future__ import annotations

import argparse
import http.client
import io
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import psutil

HERE = Path(__file__).resolve().parent
TOKEN = "benchmark-token"
SHAPE = (3, 128, 128)
CLASSES = tuple(f"class {number}" for number in range(10))
Figures = dict[str, float]


def network() -> bytes:
    """The graph: `pixels` UINT8 [n, 3, 128, 128] -> `chances` FP32 [n, 10]."""
    from onnx import TensorProto, helper, numpy_helper

    draw = np.random.default_rng(0)
    nodes = [
        helper.make_node("Cast", ["pixels"], ["whole"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["whole", "scale"], ["layer0"]),
    ]
    constants: dict[str, Any] = {"scale": np.float32(1 / 255)}
    channels = 3
    for number, (width, stride) in enumerate([(32, 2), (64, 2), (128, 2), (128, 1)]):
        constants[f"kernel{number}"] = draw.normal(0, (2 / (9 * channels)) ** 0.5, (width, channels, 3, 3)).astype("f4")
        constants[f"bias{number}"] = np.zeros(width, "f4")
        inputs = [f"layer{number}", f"kernel{number}", f"bias{number}"]
        nodes += [
            helper.make_node(
                "Conv", inputs, [f"made{number}"], kernel_shape=[3, 3], pads=[1] * 4, strides=[stride] * 2
            ),
            helper.make_node("Relu", [f"made{number}"], [f"layer{number + 1}"]),
        ]
        channels = width
    constants |= {"weights": draw.normal(0, 1, (channels, 10)).astype("f4"), "offset": np.zeros(10, "f4")}
    nodes += [
        helper.make_node("GlobalAveragePool", ["layer4"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("Gemm", ["flat", "weights", "offset"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["chances"], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["n", *SHAPE])],
        [helper.make_tensor_value_info("chances", TensorProto.FLOAT, ["n", 10])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 9
    return model.SerializeToString()


def run_bound(path: str) -> None:
    """The bound, as a process of its own: for each line on standard input it scores for so many seconds."""
    import onnxruntime

    def session() -> Any:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    sessions = [session() for _ in range(len(os.sched_getaffinity(0)))]
    pixels = np.random.default_rng(1).integers(0, 256, (1, *SHAPE), dtype=np.uint8)
    for one in sessions:
        one.run(None, {"pixels": pixels})
    print("ready", flush=True)
    for line in sys.stdin:
        counts = [0] * len(sessions)
        until = time.perf_counter() + float(line)

        def work(place: int, until: float = until, counts: list[int] = counts) -> None:
            run = sessions[place].run
            while time.perf_counter() < until:
                run(None, {"pixels": pixels})
                counts[place] += 1

        before, began = time.process_time(), time.perf_counter()
        threads = [threading.Thread(target=work, args=(place,)) for place in range(len(sessions))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        took, used = time.perf_counter() - began, time.process_time() - before
        print(json.dumps({"per_second": sum(counts) / took, "cpu_us": used / sum(counts) * 1e6}), flush=True)


class Bound:
    """The model alone."""

    def __init__(self, path: Path) -> None:
        command = [sys.executable, __file__, "--bound", str(path)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self._process.stdout.readline()

    def load(self, seconds: float) -> Figures:
        """Images a second and CPU."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{seconds}\n")
        self._process.stdin.flush()
        told: Figures = json.loads(self._process.stdout.readline())
        return told

    def stop(self) -> None:
        """Ends it."""
        self._process.communicate()


class Server:
    """Trimtab, serving the network."""

    def __init__(self, folder: Path, graph: bytes) -> None:
        import msgspec

        from trimtab.records.blobs import Blobs
        from trimtab.records.durable import write_atomically
        from trimtab.records.layout import Layout
        from trimtab.records.model import ModelBundle, Route, Routes
        from trimtab.serving.config import server_config, write_config
        from trimtab.serving.spec import ServeSpec

        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port = int(probe.getsockname()[1])
        layout = Layout(folder / "state")
        bundle = ModelBundle(onnx=Blobs(layout.blobs).put(graph), signature=_signature())
        route = Route(release="r1", model="m1", bundle=bundle, stage="live")
        routes = Routes(generation=1, system="bench", routes=(route,), written=datetime.now(UTC))
        write_atomically(layout.routes, msgspec.json.encode(routes))
        write_config(layout.serve_config, server_config(ServeSpec(port=self.port), "bench", {"TRIMTAB_TOKEN": TOKEN}))
        environment = os.environ | {"MALLOC_ARENA_MAX": "2", "OPENBLAS_NUM_THREADS": "1"}
        self._log = folder / "server.log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "trimtab.serving", "--state", str(layout.root)],
                env=environment, stdout=log, stderr=log,
            )  # fmt: skip
        self._seen = psutil.Process(self._process.pid)

    def ask(self, workload: Workload) -> bytes:
        """One request, once the server is ready."""
        until = time.perf_counter() + 60
        while True:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
            try:
                connection.request("POST", workload.path, workload.body, workload.headers())
                response = connection.getresponse()
                content = response.read()
                if response.status == 200:
                    return content
                problem = f"{response.status}: {content[:300].decode()}"
            except OSError as error:
                problem = str(error)
            finally:
                connection.close()
            if time.perf_counter() > until or self._process.poll() is not None:
                raise SystemExit(f"the server did not answer ({problem}): {self._log.read_text()[-2000:]}")
            time.sleep(0.02)

    def load(self, workload: Workload, connections: int, seconds: float) -> Figures:
        """One run of wrk."""
        command = [
            "wrk",
            "-t1",
            f"-c{connections}",
            f"-d{seconds:g}s",
            "--timeout",
            "20s",
            "-s",
            str(HERE / "images.lua"),
        ]
        before = sum(self._seen.cpu_times()[:2])
        out = subprocess.run(
            [*command, f"http://127.0.0.1:{self.port}{workload.path}"],
            env=os.environ | workload.environment(), capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip
        used = sum(self._seen.cpu_times()[:2]) - before
        line = next(line for line in out.splitlines() if line.startswith("RESULT"))
        requests, took, p50, p99, errors = map(int, line.split()[1:])
        return {
            "per_second": requests / (took / 1e6),
            "p50_ms": p50 / 1e3,
            "p99_ms": p99 / 1e3,
            "cpu_us": used / max(requests, 1) * 1e6,
            "errors": errors,
        }

    def memory(self) -> float:
        """MB."""
        return float(self._seen.memory_full_info().pss) / 1e6

    def stop(self) -> None:
        """Ends it."""
        self._process.send_signal(signal.SIGTERM)
        self._process.wait()


class Workload:
    """What is asked."""

    def __init__(self, name: str, path: str, body: bytes, kind: str, head: int = 0) -> None:
        self.name = name
        self.path = path
        self.body = body
        self._kind = kind
        self._head = head
        self.file = Path()

    def headers(self) -> dict[str, str]:
        """Header lines of a request."""
        told = {"content-type": self._kind, "authorization": f"Bearer {TOKEN}"}
        return told | ({"inference-header-content-length": str(self._head)} if self._head else {})

    def environment(self) -> dict[str, str]:
        """The same for wrk's script."""
        told = {"BODY": str(self.file), "TOKEN": TOKEN, "CONTENT_TYPE": self._kind}
        return told | ({"HEADER_LENGTH": str(self._head)} if self._head else {})


def _signature() -> Any:
    from trimtab.records.model import Signature
    from trimtab.records.tensors import ImageInput, TensorInput, TensorOutput, Tensors

    image = ImageInput(size=SHAPE[1:])
    return Signature(
        task="multiclass_classification",
        inputs=(),
        features=(),
        classes=CLASSES,
        onnx_output="chances",
        tensors=Tensors(
            inputs=(TensorInput(name="pixels", datatype="UINT8", shape=SHAPE, image=image),),
            outputs=(TensorOutput(name="chances", datatype="FP32", shape=(10,)),),
        ),
    )


def tensor_workload(pixels: np.ndarray) -> Workload:
    """One image as a binary tensor; the score is answered in bytes."""
    raw = pixels.tobytes()
    tensor = {"name": "pixels", "datatype": "UINT8", "shape": [1, *SHAPE], "parameters": {"binary_data_size": len(raw)}}
    wanted = [{"name": "score", "parameters": {"binary_data": True}}]
    head = json.dumps({"inputs": [tensor], "outputs": wanted}, separators=(",", ":")).encode()
    return Workload("tensor", "/v2/models/bench/infer", head + raw, "application/octet-stream", len(head))


def jpeg_workload() -> Workload:
    """One photo of 640 x 480 as a file."""
    from PIL import Image

    y, x = np.mgrid[0:480, 0:640]
    photo = np.stack([(np.sin(x / 17) + 1) * 127, (np.cos(y / 11) + 1) * 127, (x + y) % 256], axis=2).astype(np.uint8)
    out = io.BytesIO()
    Image.fromarray(photo).save(out, "JPEG", quality=85)
    return Workload("jpeg", "/predict", out.getvalue(), "image/jpeg")


def main() -> None:
    """Measure, and print one table."""
    parser = argparse.ArgumentParser(description="images a second of the prediction server")
    parser.add_argument("--seconds", type=float, default=4.0, help="length of one run (default: 4)")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each (default: 3)")
    parser.add_argument("--connections", type=int, nargs="+", default=[1, 64], help="loads (default: 1 64)")
    parser.add_argument("--jpeg", action="store_true", help="ask with JPEG files as well")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--bound", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.bound:
        run_bound(args.bound)
        return
    if shutil.which("wrk") is None:
        raise SystemExit("this needs wrk, the load generator: apt-get install wrk")
    with tempfile.TemporaryDirectory() as name:
        figures = measure(Path(name), args)
    if args.json:
        print(json.dumps(figures, indent=2))
    else:
        show(figures)


def measure(folder: Path, args: argparse.Namespace) -> dict[str, Figures]:
    """Medians of every load, by name."""
    graph = network()
    (folder / "network.onnx").write_bytes(graph)
    pixels = np.random.default_rng(1).integers(0, 256, (1, *SHAPE), dtype=np.uint8)
    workloads = [tensor_workload(pixels), *([jpeg_workload()] if args.jpeg else [])]
    for one in workloads:
        one.file = folder / one.name
        one.file.write_bytes(one.body)
    bound, server = Bound(folder / "network.onnx"), Server(folder, graph)
    runs: dict[str, list[Figures]] = {"bound": []}
    try:
        check(server.ask(workloads[0]), folder / "network.onnx", pixels)
        for one in workloads:
            server.ask(one)
            server.load(one, 16, 1.0)  # warm
        for _ in range(args.rounds):
            for one in workloads:
                for connections in args.connections:
                    runs["bound"].append(bound.load(args.seconds))
                    told = server.load(one, connections, args.seconds)
                    told["of_bound"] = told["per_second"] / runs["bound"][-1]["per_second"]
                    told["cpu_of_bound"] = runs["bound"][-1]["cpu_us"] / told["cpu_us"]
                    runs.setdefault(f"{one.name} c{connections}", []).append(told)
        memory = server.memory()
    finally:
        server.stop()
        bound.stop()
    figures = {
        name: {key: statistics.median(run[key] for run in those) for key in those[0]} for name, those in runs.items()
    }
    figures["memory"] = {"mb": memory}
    return figures


def check(answer: bytes, path: Path, pixels: np.ndarray) -> None:
    """The first answer must be the graph's own."""
    import onnxruntime

    expected = onnxruntime.InferenceSession(path).run(None, {"pixels": pixels})[0]
    found = np.frombuffer(answer[-4 * len(CLASSES) :], "<f4")
    if not np.allclose(found, expected[0], atol=1e-5):
        raise SystemExit(f"the server answered {found}; the model says {expected[0]}")


def show(figures: dict[str, Figures]) -> None:
    """The table."""
    memory = figures.pop("memory")["mb"]
    heads = ("images/s", "of bound", "p50 ms", "p99 ms", "p99/p50", "CPU us", "bound CPU", "errors")
    print(f"{'load':<12}" + "".join(f"{head:>11}" for head in heads))
    for name, told in figures.items():
        cells = [f"{told['per_second']:,.0f}"]
        if "p50_ms" in told:
            cells += [f"{told['of_bound']:.1%}", f"{told['p50_ms']:.2f}", f"{told['p99_ms']:.2f}"]
            cells += [
                f"{told['p99_ms'] / told['p50_ms']:.1f}x",
                f"{told['cpu_us']:,.0f}",
                f"{told['cpu_of_bound']:.1%}",
            ]
            cells += [f"{told['errors']:.0f}"]
        else:
            cells += ["", "", "", "", f"{told['cpu_us']:,.0f}", "", ""]
        print(f"{name:<12}" + "".join(f"{cell:>11}" for cell in cells))
    print(f"memory of the server: {memory:.0f} MB")


if __name__ == "__main__":
    main()
