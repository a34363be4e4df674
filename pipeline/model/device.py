"""Where a model runs, and how its runs are made repeatable."""

import os

import torch

from pipeline.errors import UsageError, nearest

DEVICES = ("auto", "cuda", "mps", "cpu")
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
