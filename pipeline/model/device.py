"""Where a model runs, and how its runs are made repeatable."""

import math
import os
import time
from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor, nn

from pipeline import ranks
from pipeline.config import DEVICES
from pipeline.errors import UsageError, nearest

PRECISIONS = ("auto", "fp32", "bf16")
_LEAST_WIDTH = 64  # from which bfloat16 pays on a CPU, to sample and to train
_FULL_NAMES = {"cuda": "CUDA", "mps": "MPS"}


def pick_device(name: str = "auto") -> torch.device:
    """Return the device of that name; "auto" takes cuda, then mps, then cpu.

    Raises:
        UsageError: an unknown name, or a device that this machine lacks.
    """
    if name not in DEVICES:
        raise UsageError(f"--device {name}: unknown{nearest(name, DEVICES)}")
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        return torch.device(next((kind for kind, is_there in there.items() if is_there), "cpu"))
    if not there.get(name, True):
        raise UsageError(
            f"--device {name}: this machine has no {_FULL_NAMES[name]} device (torch sees none); "
            "use --device cpu"
        )
    return torch.device(name)


def pick_dtype(precision: str, device: torch.device, width: int) -> torch.dtype:
    """Return the type of a model's products: float32 or bfloat16.

    "auto" is bfloat16 on CUDA, and on a CPU that multiplies it from the width on at which it
    was faster in benchmarks/engine.py, 64.

    Raises:
        UsageError: an unknown precision.
    """
    if precision not in PRECISIONS:
        raise UsageError(f"precision {precision!r}: unknown{nearest(precision, PRECISIONS)}")
    if precision != "auto":
        return torch.bfloat16 if precision == "bf16" else torch.float32
    if device.type == "cpu":
        pays = width >= _LEAST_WIDTH and _multiplies_bf16()
    else:
        pays = device.type == "cuda"
    return torch.bfloat16 if pays else torch.float32


def settled_precision(device: torch.device, width: int) -> str:
    """Return what the precision "auto" comes to on this machine: fp32 or bf16."""
    return "bf16" if pick_dtype("auto", device, width) is torch.bfloat16 else "fp32"


def _multiplies_bf16() -> bool:
    """Tell whether this CPU multiplies bfloat16 itself; without, oneDNN does it more slowly."""
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


@cache
def peak_flops(device: torch.device, dtype: torch.dtype) -> float:
    """Measure how many operations a second this machine reaches in a large product."""
    size = 8192 if device.type == "cuda" else 512
    square = torch.ones((size, size), dtype=dtype, device=device)
    best = math.inf
    for _ in range(20):
        start = time.perf_counter()
        torch.mm(square, square)[0, 0].item()  # which waits for the device
        best = min(best, time.perf_counter() - start)
    return 2 * size**3 / best


def compiled(model: nn.Module) -> Callable[..., Tensor]:
    """Return a model's forward pass, compiled by torch on CUDA if it can be.

    On a CPU that gained nothing and takes a minute.
    """
    if next(model.parameters()).device.type != "cuda":
        return model
    torch._dynamo.config.suppress_errors = True  # no Triton or no C compiler: as it is
    return torch.compile(model, dynamic=True)


def describe(device: torch.device) -> str:
    """Say what a device is: "cpu, 2 threads", "cuda: NVIDIA H200", "mps"."""
    if device.type == "cuda":
        return f"cuda: {torch.cuda.get_device_name(device)}"
    if device.type == "cpu":
        threads = torch.get_num_threads()
        return f"cpu, {threads} thread{'' if threads == 1 else 's'}"
    return device.type


def seed_generator(
    seed: int, device: torch.device | None = None, threads: int | None = None
) -> torch.Generator:
    """Make this process repeatable and return a generator on a device (default: the CPU).

    Switches torch to deterministic kernels and, if asked, to a number of CPU threads: sums are
    split by thread, so only the same number gives the same bits. A kernel without a
    deterministic twin warns instead of stopping the run.

    Raises:
        UsageError: threads below 1.
    """
    if threads is not None:
        if threads < 1:
            raise UsageError(f"threads = {threads}: give at least 1")
        torch.set_num_threads(threads)
    # cuBLAS reads this when its first handle is made; without it, its results may vary.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True, warn_only=True)
    # Ours is written before it is read, and filling it first costs a tenth of the sampling.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    return torch.Generator(device or "cpu").manual_seed(seed)


def prepare(name: str, threads: int) -> torch.device:
    """Pick a device and make what runs on it repeatable.

    Args:
        name: as for ``pick_device``.
        threads: of torch on a CPU, at least 1.
    """
    device = pick_device(name)
    seed_generator(0, threads=threads)
    return device


def take_own(device: torch.device, name: str, gpus: int) -> None:
    """Take this process's own GPU, of several processes with one each; on a CPU take nothing.

    Args:
        device: what `pick_device` made of the name.
        gpus: how many processes there are.

    Raises:
        UsageError: there are not as many.
    """
    if device.type == "cpu" and name == "cpu":
        return
    place = ranks.place()
    here = int(os.environ.get("LOCAL_WORLD_SIZE", gpus)) if place else gpus
    there = torch.cuda.device_count() if device.type == "cuda" else 0
    if there < here:
        devices = f"{there} CUDA device{'' if there == 1 else 's'}" if there else "no CUDA device"
        raise UsageError(
            f"--gpus {gpus}: this machine has {devices} (torch sees no more); give a smaller "
            "number, or --device cpu to share its cores"
        )
    torch.cuda.set_device(place.local if place else 0)
