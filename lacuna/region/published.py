"""Masks as LACUNA publishes them: an int32 a weight, bit g set where group g has the weight.

The published file (`mask.pt`) is a pickle, which runs code when it is read; it is refused. Where
you trust it, this turns it into what is read here:

    python -c "import sys, torch; from safetensors.torch import save_file; masks = torch.load(
    sys.argv[1], weights_only=True); save_file({n: m.int().contiguous() for n, m in masks.items()},
    sys.argv[2])" mask.pt mask.safetensors
"""

from pathlib import Path

import torch
from safetensors import safe_open

from lacuna.errors import UserError
from lacuna.model.value import Layout
from lacuna.region import bits as packed
from lacuna.region.weights import GroupMasks, groups_overlap

PICKLES = (".pt", ".pth", ".bin", ".pkl", ".ckpt")


def refuse_pickle(path: Path) -> None:
    """Raise `UserError` for a file that could only be unpickled."""
    if path.suffix in PICKLES:
        raise UserError(
            f"{path} is a pickle, which can run code when read: convert it to safetensors where "
            f"you trust it (one command, in lacuna/region/published.py), and give that file"
        )


def read_published(path: Path, layout: Layout) -> GroupMasks:
    """Masks from a safetensors file of int32 tensors, named and shaped as the model's weights.

    Tensors are read one at a time; tensors without any bit are dropped. Raises `UserError` where a
    tensor is not the model's, is not int32, or two groups share a weight.
    """
    bits, groups = {}, 0
    with safe_open(path, framework="pt") as stream:
        names = [name for name in layout.weights if name in set(stream.keys())]
        if odd := sorted(set(stream.keys()) - set(names)):
            raise UserError(f"{path}: {layout.architecture} has no weight named {odd[0]!r}")
        for name in names:
            groups = max(groups, _highest(path, name, stream.get_tensor(name), layout))
        for name in names:
            flat = stream.get_tensor(name).reshape(-1)
            if bool(flat.any()):
                bits[name] = torch.stack([packed.pack(flat >> g & 1 != 0) for g in range(groups)])
                if groups_overlap(bits[name]):
                    raise UserError(f"{path}: the masks of two groups share weights of {name}")
    if not bits:
        raise UserError(f"{path} holds no mask: no bit is set in its {len(names)} tensors")
    shapes = {name: layout.weights[name] for name in bits}
    return GroupMasks(layout.architecture, shapes, bits, groups, {"drawn": "published"})


def _highest(path: Path, name: str, tensor: torch.Tensor, layout: Layout) -> int:
    """Number of groups that a tensor's bits name."""
    if tensor.dtype != torch.int32 or tuple(tensor.shape) != tuple(layout.weights[name]):
        raise UserError(
            f"{path}: {name} is {tensor.dtype} {list(tensor.shape)}, masks of this model are int32 "
            f"{list(layout.weights[name])}"
        )
    if not tensor.numel() or int(tensor.min()) < 0:
        raise UserError(f"{path}: {name} uses bit 31, masks have at most 31 groups")
    return int(tensor.max()).bit_length()
