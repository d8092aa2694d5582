"""Part 1: everything imports, which attention is chosen, and what the process holds then."""

import platform
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pkgutil import walk_packages

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention

import lacuna
from benchmarks.gpu.check import Check, Checks, Setting, holds

LIBRARIES = ("torch", "transformers", "peft", "scipy", "safetensors", "tokenizers")
BACKENDS = ("FLASH_ATTENTION", "CUDNN_ATTENTION", "EFFICIENT_ATTENTION", "MATH")


def checks(setting: Setting) -> Checks:
    """Versions, imports, attention and bytes."""
    yield Check("device", setting.name)
    yield Check("Python", platform.python_version())
    for library in LIBRARIES:
        yield Check(library, _version(library))
    modules = [found.name for found in walk_packages(lacuna.__path__, "lacuna.")]
    failed = [f"{name}: {why}" for name in modules if (why := _import(name))]
    yield Check("modules", len(modules))
    yield holds("modules imported", not failed, "; ".join(failed) or "all")
    for dtype in (torch.bfloat16, torch.float32):
        usable = [name for name in BACKENDS if _attends(setting, name, dtype)]
        yield Check(f"attention in {str(dtype)[6:]}", ", ".join(usable) or "none")
    if setting.cuda:
        free, total = torch.cuda.mem_get_info(setting.device)
        yield Check("memory in use", (total - free) / 2**20, "MiB")


def _version(library: str) -> str:
    try:
        return version(library)
    except PackageNotFoundError:
        return "missing"


def _import(name: str) -> str:
    """Why a module does not import; empty where it does. `__main__` modules run when imported."""
    if name.endswith("__main__"):
        return ""
    try:
        import_module(name)
    except (ImportError, AttributeError, OSError) as error:
        return str(error)
    return ""


def _attends(setting: Setting, name: str, dtype: torch.dtype) -> bool:
    """Whether a kind of attention computes causal attention as training asks for it."""
    query = torch.zeros(2, 4, 32, 64, device=setting.device, dtype=dtype, requires_grad=True)
    try:
        with sdpa_kernel([getattr(SDPBackend, name)]):
            scaled_dot_product_attention(query, query, query, is_causal=True).sum().backward()
    except RuntimeError:
        return False
    return True
