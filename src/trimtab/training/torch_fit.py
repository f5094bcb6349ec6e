"""Fitting PyTorch modules: the same code on CPU and CUDA, early stopping, and going on after a kill."""

from __future__ import annotations

import io
import math
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from blake3 import blake3
from numpy.typing import NDArray

from trimtab.errors import PermanentError
from trimtab.records.durable import write_atomically
from trimtab.training.tracking.log import flush_logged, log_metric, log_metrics

try:
    import torch
except ModuleNotFoundError:  # `from trimtab import *` must do without
    torch = None

_CHUNK = 65_536
_SHARE_OF_TIME = 0.1
"""The part of its time that a fit may spend on writing checkpoints; the first is always written."""


class Examples(Protocol):
    """What is learnt from: `x` float32 [rows, features], `y` [rows]. The Rows that `train` is given are such."""

    @property
    def x(self) -> NDArray[np.float32]: ...
    @property
    def y(self) -> NDArray[Any]: ...


def prepare(seed: int, threads: int) -> None:
    """Before a fit: the seed, the number of threads, and algorithms that give the same twice where there are any."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # without it cuBLAS is not deterministic
    torch.manual_seed(seed)
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.backends.cudnn.benchmark = False


def fit_module(
    module: Any,
    train: Examples,
    valid: Examples | None = None,
    *,
    loss: Callable[[Any, Any], Any] | None = None,
    epochs: int = 100,
    batch: int = 256,
    lr: float = 1e-3,
    weight_decay: float = 0.01,
    patience: int = 10,
    device: str = "auto",
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto",
) -> Any:
    """Fit a torch.nn.Module by AdamW and return it, on the CPU and ready to predict, as it was after its best epoch.

    `loss(output, target)` gives a scalar tensor. Without one it is what `y` calls for: binary cross-entropy on logits
    for whole numbers and one output, cross-entropy on logits for several outputs, mean squared error for other numbers.
    `device` is "cpu", "cuda" (or "cuda:1"), or "auto" for CUDA where it is. With a `precision` of 16 bits it computes
    in that where it is safe (autocast), in float16 with scaled gradients, while the weights stay float32; "auto" is
    bfloat16 on CUDA, float16 on GPUs without it, float32 on the CPU. It stops once `valid` has not got better for
    `patience` epochs. Where `valid.seen` (the second fit of a training) it takes as many epochs as the first found
    best.

    Killed and begun again, the same fit goes on after its last checkpoint in `train.checkpoints`. One is written after
    an epoch unless that would take more than a tenth of the time. Raises PermanentError when the loss is not finite.
    """
    if torch is None:
        raise PermanentError("PyTorch is not installed", hint="pip install 'trimtab[torch]'")
    if not len(train.y):
        raise PermanentError("there are no rows to fit on")
    name = device_name(device)
    seen = bool(getattr(valid, "seen", False))
    kind = device_precision(name, precision)
    settings = [loss_name(loss), batch, lr, weight_decay, name.partition(":")[0], kind]
    kept = _Checkpoints.of(getattr(train, "checkpoints", ""), module, settings, train, seen=seen)
    judged = None if valid is None or seen or not len(valid.y) else valid
    if seen and (best := kept.best_epochs()):
        epochs = best
    fit = _Fit(module, torch.device(name), loss, batch=batch, lr=lr, weight_decay=weight_decay, precision=kind)
    fit.run(train, judged, epochs=epochs, patience=patience, kept=kept)
    return module.to("cpu").eval()


def device_name(device: str) -> str:
    """The device that "auto" comes to; any other as it is. Raises PermanentError for one that is not there."""
    kind = device.partition(":")[0]
    if kind not in {"auto", "cpu", "cuda"}:
        raise PermanentError(f"no device {device!r}", hint='use "cpu", "cuda" or "auto"')
    there = torch.cuda.is_available()
    if kind == "auto":
        return "cuda" if there else "cpu"
    if kind == "cuda" and not there:
        raise PermanentError("CUDA was asked for and is not available", hint='say device="auto", or "cpu"')
    return device


def device_precision(device: str, precision: str) -> str:
    """What "auto" comes to on that device; any other precision as it is. Raises PermanentError for an unknown one."""
    if precision == "auto":
        half = "bfloat16" if device.startswith("cuda") and torch.cuda.is_bf16_supported() else "float16"
        return half if device.startswith("cuda") else "float32"
    if precision not in {"float32", "bfloat16", "float16"}:
        raise PermanentError(f"no precision {precision!r}", hint='use "auto", "float32", "bfloat16" or "float16"')
    return precision


def loss_name(loss: Any) -> str:
    """What tells one loss from another: its name, and its settings where it is a module's."""
    return "" if loss is None else repr(loss) if isinstance(loss, torch.nn.Module) else getattr(loss, "__name__", "")


@dataclass
class _Checkpoints:
    """Where one fit keeps its state: `place` is told from its weights at the start, its settings and its rows, so
    another fit never finds it; `best` holds the best number of epochs for the fit that follows it."""

    place: Path | None
    best: Path | None
    spent: float = 0.0
    started: float = field(default_factory=time.monotonic)

    @classmethod
    def of(cls, folder: str, module: Any, settings: list[Any], rows: Examples, *, seen: bool) -> _Checkpoints:
        if not folder:
            return cls(None, None)
        told = blake3(repr(settings).encode())
        for name, tensor in module.state_dict().items():
            told.update(name.encode() + str(tuple(tensor.shape)).encode())
            told.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
        kind = told.hexdigest(8)
        for values in (rows.x, rows.y):
            told.update(np.ascontiguousarray(values).tobytes())
        name = f"{kind}-{told.hexdigest(8)}-{'again' if seen else 'first'}.pt"
        return cls(Path(folder) / name, Path(folder) / f"{kind}.best")

    def best_epochs(self) -> int:
        """What the first fit found best; 0 where there was none."""
        return int(self.best.read_text()) if self.best is not None and self.best.is_file() else 0

    def read(self) -> dict[str, Any] | None:
        """The last state, None where there is none that can be read."""
        if self.place is None or not self.place.is_file():
            return None
        try:
            state: dict[str, Any] = torch.load(self.place, map_location="cpu", weights_only=True)
        except Exception as error:  # of another version of PyTorch, say: the fit begins again
            print(f"the checkpoint cannot be read ({type(error).__name__}); the fit begins again")
            return None
        return state

    def write(self, state: Callable[[], dict[str, Any]], *, last: bool) -> None:
        """Keep the state, unless that has taken too much of the time already."""
        began = time.monotonic()
        if self.place is None or (not last and self.spent > _SHARE_OF_TIME * (began - self.started)):
            return
        content = io.BytesIO()
        kept = state()
        torch.save(kept, content)
        flush_logged()  # before: what goes on after this checkpoint does not log these epochs again
        write_atomically(self.place, content.getvalue())
        if last and self.best is not None and self.place.name.endswith("first.pt"):
            write_atomically(self.best, str(kept["best_epoch"]).encode())
        self.spent += time.monotonic() - began


class _Fit:
    """The state of a fit: module, optimiser, and how far it is."""

    def __init__(
        self,
        module: Any,
        device: Any,
        loss: Callable[[Any, Any], Any] | None,
        *,
        batch: int,
        lr: float,
        weight_decay: float,
        precision: str,
    ) -> None:
        self._module = module.to(device)
        self._device = device
        self._loss = loss
        self._batch = max(1, batch)
        self._cuda = device.type == "cuda"
        self._mixed = precision != "float32"
        self._short = getattr(torch, precision)
        # Small gradients vanish in float16; otherwise the scaler hands everything through as it is.
        self._scaler = torch.amp.GradScaler(device.type, enabled=precision == "float16")
        self._seed = torch.initial_seed() % 2**62
        self._optimizer = torch.optim.AdamW(module.parameters(), lr=lr, weight_decay=weight_decay)
        self._epoch = 0
        self._best_loss = math.inf
        self._best_epoch = 0
        self._best: dict[str, Any] = {}
        self._done = False

    def run(self, train: Examples, valid: Examples | None, *, epochs: int, patience: int, kept: _Checkpoints) -> None:
        """Train for `epochs`, or until `valid` has not got better for `patience` of them, and take the best weights."""
        self._resume(kept.read())
        if not self._done:
            x, y = self._tensors(train)
            judged = self._tensors(valid) if valid is not None else None
            while self._epoch < epochs:
                self._train_epoch(x, y)
                self._judge(judged)
                late = judged is not None and self._epoch - self._best_epoch >= patience
                self._done = late or self._epoch >= epochs
                kept.write(self._state, last=self._done)
                if self._done:
                    break
        if self._best:
            self._module.load_state_dict(self._best)

    def _train_epoch(self, x: Any, y: Any) -> None:
        self._module.train()
        # Told from the epoch alone: an epoch that is begun again takes the rows in the same order.
        order = torch.randperm(len(y), generator=torch.Generator().manual_seed(self._seed + self._epoch)).to(x.device)
        total = torch.zeros((), device=self._device)
        taken = 0
        for rows in order.split(self._batch):
            if len(rows) == 1 and taken:  # a batch norm cannot learn from one row
                continue
            self._optimizer.zero_grad(set_to_none=True)
            loss = self._loss_of(x[rows], y[rows])
            self._scaler.scale(loss).backward()
            self._scaler.step(self._optimizer)
            self._scaler.update()
            total += loss.detach() * len(rows)
            taken += len(rows)
        self._epoch += 1
        self._train_loss = self._finite(float(total) / taken, "loss", x)

    def _judge(self, valid: tuple[Any, Any] | None) -> None:
        if valid is None:
            self._best_epoch = self._epoch
            print(f"epoch {self._epoch}: loss {self._train_loss:.6g}")
            log_metric("loss", self._train_loss, step=self._epoch)
            return
        self._module.eval()
        x, y = valid
        total = 0.0
        with torch.no_grad():
            for rows in _chunks(len(y)):
                total += float(self._loss_of(x[rows], y[rows])) * (rows.stop - rows.start)
        found = self._finite(total / len(y), "loss on the validation rows", x)
        print(f"epoch {self._epoch}: loss {self._train_loss:.6g}, on validation rows {found:.6g}")
        log_metrics({"loss": self._train_loss, "valid_loss": found}, step=self._epoch)
        if found < self._best_loss:
            self._best_loss, self._best_epoch = found, self._epoch
            self._best = {name: tensor.detach().cpu().clone() for name, tensor in self._module.state_dict().items()}

    def _loss_of(self, x: Any, y: Any) -> Any:
        x, y = x.to(self._device), y.to(self._device)
        with torch.autocast(self._device.type, dtype=self._short, enabled=self._mixed):
            out = self._module(x)
        out = out.float()
        one = out.dim() == 1 or out.shape[1] == 1
        target = y.to(out.dtype).reshape(out.shape) if one or y.is_floating_point() else y
        if self._loss is not None:
            return self._loss(out, target)
        if y.is_floating_point():
            return torch.nn.functional.mse_loss(out, target)
        if one:
            return torch.nn.functional.binary_cross_entropy_with_logits(out, target)
        return torch.nn.functional.cross_entropy(out, target)

    def _finite(self, loss: float, what: str, x: Any) -> float:
        if math.isfinite(loss):
            return loss
        missing = any(bool(torch.isnan(x[rows]).any()) for rows in _chunks(len(x)))
        hint = (
            "missing numbers are NaN: begin forward() with torch.nan_to_num(x)" if missing else "lower lr, or scale x"
        )
        raise PermanentError(f"the {what} is not finite after epoch {self._epoch}", hint=hint)

    def _tensors(self, rows: Examples) -> tuple[Any, Any]:
        """The rows as tensors, on the device where they take no more than half of its free memory."""
        # A copy: training must not change what the user holds, and arrays may be read-only.
        x = torch.from_numpy(np.array(rows.x, dtype=np.float32))
        whole = np.issubdtype(rows.y.dtype, np.integer) or rows.y.dtype == bool
        y = torch.from_numpy(np.array(rows.y, dtype=np.int64 if whole else np.float32))
        if self._cuda and 2 * (x.nbytes + y.nbytes) < torch.cuda.mem_get_info(self._device)[0]:
            return x.to(self._device), y.to(self._device)
        return x, y

    def _state(self) -> dict[str, Any]:
        return {
            "module": self._module.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "scaler": self._scaler.state_dict(),
            "epoch": self._epoch,
            "best_loss": self._best_loss,
            "best_epoch": self._best_epoch,
            "best": self._best,
            "done": self._done,
            "random": torch.get_rng_state(),
            "random_cuda": torch.cuda.get_rng_state_all() if self._cuda else [],
        }

    def _resume(self, state: dict[str, Any] | None) -> None:
        if state is None:
            return
        self._module.load_state_dict(state["module"])
        self._optimizer.load_state_dict(state["optimizer"])
        if self._scaler.is_enabled():
            self._scaler.load_state_dict(state["scaler"])
        self._epoch, self._best_epoch = state["epoch"], state["best_epoch"]
        self._best_loss, self._best, self._done = state["best_loss"], state["best"], state["done"]
        torch.set_rng_state(state["random"])
        if self._cuda and len(state["random_cuda"]) == torch.cuda.device_count():
            torch.cuda.set_rng_state_all(state["random_cuda"])
        print(f"resumed after epoch {self._epoch}")


def _chunks(rows: int) -> Iterator[slice]:
    for start in range(0, rows, _CHUNK):
        yield slice(start, min(start + _CHUNK, rows))
