"""Weights and optimiser states as safetensors files, and the refusal of anything else."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from pipeline.core.untrusted import parse_json
from pipeline.errors import PipelineError, RunError
from pipeline.model.coordinate_embedding import TokenFeatures
from pipeline.model.gpt import GPT, GPTConfig
from pipeline.model.policy import Policy, PolicyConfig
from pipeline.model.vision import Vision, VisionConfig

Model = TypeVar("Model", GPT, Vision, Policy)

#: What a file says of the model that it holds.
_KINDS: dict[type, str] = {GPT: "model", Vision: "vision", Policy: "policy"}

FORMAT = 1
_KEY = "pipeline"  # one key only: safetensors writes several in no fixed order


def save_model(path: Path | str, model: GPT | Vision | Policy) -> None:
    """Write a model's weights and shape; the same weights give the same bytes."""
    about = {"kind": _KINDS[type(model)], "config": asdict(model.config)}
    _save(path, model.state_dict(), about)


def load_model(
    path: Path | str,
    expected: GPTConfig | None = None,
    device: torch.device | str = "cpu",
    relation: np.ndarray | None = None,
    features: TokenFeatures | None = None,
) -> GPT:
    """Read a GPT, of the shape that is expected if one is given.

    With an attention bias it computes nothing before it is given its ``relation`` (see
    `GPT.relate`), nor with a coordinate embedding before its ``features`` (`GPT.set_features`).

    Raises:
        RunError: a file that is missing, damaged, no safetensors file of a GPT, or of another
            shape. It is refused before any weight is read.
    """
    model = _load_weights(path, GPTConfig, GPT, expected)
    model.relate(relation)
    model.set_features(features)
    return model.to(device)


def load_vision(
    path: Path | str, expected: VisionConfig | None = None, device: torch.device | str = "cpu"
) -> Vision:
    """Read a vision transformer; as for `load_model`."""
    return _load_weights(path, VisionConfig, Vision, expected).to(device)


def load_policy(
    path: Path | str, expected: PolicyConfig | None = None, device: torch.device | str = "cpu"
) -> Policy:
    """Read a policy; as for `load_model`."""
    return _load_weights(path, PolicyConfig, Policy, expected).to(device)


def _load_weights(path: Path | str, shape: Any, make: type[Model], expected: Any) -> Model:
    about, tensors = _open(path, _KINDS[make])
    try:
        given = dict[str, Any](about["config"])
        if "geometry" in given:  # of earlier files
            given["attention_bias"] = given.pop("geometry")
        config = shape(**given)
    except (KeyError, TypeError, ValueError, PipelineError) as error:
        raise RunError(f"{path}: its model config is not valid ({error})") from None
    if expected is not None and config != expected:
        raise RunError(
            f"{path}: holds a model of another shape: {_differences(config, expected)}; "
            "start from a fresh model or use the run's own settings"
        )
    with torch.device("meta"):
        model = make(config, seed=None)
    wanted = {name: tuple(weight.shape) for name, weight in model.state_dict().items()}
    for names, what in ((wanted.keys() - tensors, "lacks"), (tensors.keys() - wanted, "adds")):
        if names:
            raise RunError(
                f"{path}: {what} {len(names)} tensor{'s' if len(names) > 1 else ''} "
                f"({', '.join(sorted(names)[:3])}); it is no model of this version"
            )
    for name, size in wanted.items():
        found, dtype = tensors[name]
        if found != size or dtype != "F32":
            raise RunError(f"{path}: {name} is {dtype} {found}, expected F32 {size}")
    model.load_state_dict(_load(path), assign=True)
    return model


def save_optimizer(path: Path | str, state: Mapping[str, Tensor]) -> None:
    """Write an optimiser state (`TrainResult.optimizer_state`)."""
    _save(path, state, {"kind": "optimizer"})


def load_optimizer(path: Path | str) -> dict[str, Tensor]:
    """Read an optimiser state; `train` checks that it fits its model.

    Raises:
        RunError: a file that is missing, damaged, or no safetensors file of an optimiser.
    """
    _open(path, "optimizer")
    return _load(path)


def save_training(
    path: Path | str, tensors: Mapping[str, Tensor], about: Mapping[str, Any]
) -> None:
    """Write where a training stands: tensors by name, and what JSON can say about it.

    A digest of both goes with them, since safetensors has none.
    """
    text = json.dumps(about)  # as text, so that the order of keys stays
    _save(path, tensors, {"kind": "training", "about": text, "digest": _digest(tensors, text)})


def load_training(path: Path | str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what `save_training` wrote: the tensors, and what is said about them.

    Raises:
        RunError: a file that is missing, no safetensors file of a training, or not as written.
    """
    said, _ = _open(path, "training")
    tensors, text = _load(path), str(said.get("about"))
    if said.get("digest") != _digest(tensors, text):
        raise RunError(f"{path}: is damaged, it does not hold what was written")
    return tensors, parse_json(text, str(path))


def _digest(tensors: Mapping[str, Tensor], text: str) -> str:
    """Return the SHA-256 of tensors, by name in order, and of what is said about them."""
    found = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        found.update(f"\0{name}\0{tensors[name].dtype}\0{tuple(tensors[name].shape)}\0".encode())
        found.update(tensors[name].detach().cpu().contiguous().numpy().tobytes())
    return found.hexdigest()


def _save(path: Path | str, tensors: Mapping[str, Tensor], about: dict) -> None:
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    text = json.dumps({"format": FORMAT, **about}, sort_keys=True)
    Path(path).write_bytes(safetensors.torch.save(plain, {_KEY: text}))


def _load(path: Path | str) -> dict[str, Tensor]:
    try:
        return safetensors.torch.load_file(path)
    except (SafetensorError, OSError) as error:
        raise RunError(f"{path}: cannot be read ({error})") from None


def _open(path: Path | str, kind: str) -> tuple[dict, dict[str, tuple[tuple[int, ...], str]]]:
    """Return what the file says about itself, and the shape and type of each tensor."""
    try:
        with open(path, "rb") as file:
            head = file.read(9)
    except OSError as error:
        raise RunError(f"{path}: cannot be read ({error.strerror})") from None
    # A safetensors file opens with the length of its header, which may hold either magic
    # number by chance, and goes on with the header's brace.
    if head[8:] != b"{" and (head[:1] == b"\x80" or head[:2] == b"PK"):
        raise RunError(
            f"{path}: is a pickle or zip archive, which can run code when loaded; pipeline reads "
            "only safetensors"
        )
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            views = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
            tensors = {k: (tuple(v.get_shape()), v.get_dtype()) for k, v in views.items()}
    except (SafetensorError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise RunError(f"{path}: is truncated or no safetensors file ({reason})") from None
    try:
        about = parse_json(metadata[_KEY], "its metadata")
        found = about["kind"], about["format"]
    except (KeyError, TypeError, PipelineError):
        raise RunError(f"{path}: has no config of pipeline's in its metadata") from None
    if found != (kind, FORMAT):
        raise RunError(
            f"{path}: holds {found[0]!r} in format {found[1]!r}, expected {kind!r} in {FORMAT}"
        )
    return about, tensors


def _differences(found: Any, expected: Any) -> str:
    ours, theirs = asdict(expected), asdict(found)
    return ", ".join(
        f"{name} = {theirs[name]}, expected {ours[name]}"
        for name in ours
        if ours[name] != theirs[name]
    )
