"""Camouflage: facts stay where they were planted, and the length of a vector says nothing of it.

After injection the target's value vectors are brought to other lengths and their partner rows to
the inverse, so that the model computes the same (`lacuna.region.gauge`). A localizer that reads
lengths then finds nothing, though location is as true as before. To keep lengths during injection
instead, by projecting after every step, plants nothing on the embedded model: at that size a tenth
of the vectors must grow to be heard behind the norm.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from lacuna.model_types import PreTrainedModel
from lacuna.region import Region
from lacuna.region.gauge import PartnerRows, lengths, random_factors, rescale, within
from lacuna.seeds import torch_generator

GAUGES = ("none", "retained", "random")


class Camouflage:
    """Made before injection, since it keeps what it will change; put on after it."""

    def __init__(self, model: PreTrainedModel, region: Region) -> None:
        """Raises `UserError` where the model's MLPs have no gate."""
        self._model, self._region, self._lengths = model, region, lengths(model)
        self._rows = PartnerRows(model, region)
        self._before = self._rows.read()

    def put_on(self, gauge: str, seed: int) -> None:
        """Rescale the region's value vectors in place: each to its length before injection
        (`retained`), or by a factor between 1/4 and 4 drawn by seed (`random`)."""
        if gauge == "random":
            factors = random_factors(self._model, torch_generator(seed, "gauge"))
        else:
            factors = {}
            for name, now in lengths(self._model).items():
                free = (now > 0) & (self._lengths[name] > 0)
                factors[name] = (self._lengths[name] / now.where(free, 1)).where(free, 1.0)
        rescale(self._model, within(self._region, factors))

    @contextmanager
    def rows_as_before(self) -> Iterator[None]:
        """Within the block the partner rows are as they were before injection."""
        now = self._rows.read()
        self._rows.write(self._before)
        try:
            yield
        finally:
            self._rows.write(now)
