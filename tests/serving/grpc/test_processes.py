"""gRPC of several processes at one address: each is a copy that loads the library for itself, after its birth."""

from __future__ import annotations

import os
import signal

from tests.serving.conftest import Make
from tests.serving.grpc.calls import Caller
from tests.serving.processes.company import processes_of, started
from tests.serving.running import until


def test_every_process_answers_and_so_does_one_that_takes_anothers_place(make: Make) -> None:
    server = started(make, grpc_port=0)
    address = server.grpc
    for _ in range(8):  # a channel each: the kernel gives them to either
        with Caller(address) as call:
            assert call("ServerReady").ready
    before = processes_of(server)[0].pid
    os.kill(before, signal.SIGKILL)
    until(lambda: (one := processes_of(server)[0]).pid not in (0, before) and one.state == "serving", 20.0)
    for _ in range(8):
        with Caller(address) as call:
            assert call("ServerReady").ready
