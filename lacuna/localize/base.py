"""What a localizer may look at, and what it must return: a score for every value vector.

Vectors are selected by score elsewhere (`lacuna.localize.select`), so every localizer works with
every size of region.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple, cast

from torch import Tensor

from lacuna.costs import Workload
from lacuna.errors import UserError
from lacuna.localize.evidence import TARGET, Evidence, Statistic
from lacuna.localize.select import NORMALISATIONS, SCOPES, normalised
from lacuna.region import Region, Scope, top
from lacuna.registry import Registry, Revised

Scores = Mapping[str, Tensor]
"""Module name -> (d_ff,) score, higher is more likely to hold the forget facts."""


@dataclass(frozen=True, kw_only=True)
class LocalizerConfig:
    """How scores become a region; what every localizer takes."""

    scope: str = "global"
    """Rank over the whole model (`global`), take an equal share of each layer (`layer`), or each
    layer's share of the target region (`matched`; only for localizers that may know it)."""
    normalise: str = "none"
    """Before ranking: `none`; divide by the layer's `sum` or `max` of absolute scores; `zscore`
    within the layer; `norm`: divide by the length of the value vector."""

    def __post_init__(self) -> None:
        for name, value, known in (
            ("scope", self.scope, SCOPES),
            ("normalise", self.normalise, NORMALISATIONS),
        ):
            if value not in known:
                raise UserError(f"localizer: {name}={value!r}: choose one of {', '.join(known)}")


def at_least_one(name: str, value: int) -> None:
    """Raise `UserError` unless a count is 1 or more."""
    if value < 1:
        raise UserError(f"{name}={value}: must be at least 1")


class Localizer(Revised):
    """Base class: subclasses define `Config` and `scores`."""

    Config: ClassVar[type[LocalizerConfig]] = LocalizerConfig
    privileges: ClassVar[tuple[str, ...]] = ()
    """What it uses that a real method could not know: `TARGET`, `RETAINED`."""
    surveyed: ClassVar[bool] = True
    """Whether studies that name no localizers ask it too; not where its precision is given."""

    def __init__(self, config: LocalizerConfig) -> None:
        if config.scope == "matched" and TARGET not in self.privileges:
            raise UserError(
                f"{type(self).__name__}: scope=matched would tell it the target region's layers: "
                f"choose global or layer"
            )
        self.config = config

    def scores(self, evidence: Evidence) -> Scores:
        """Score every value vector of the injected model; higher is likelier to hold facts."""
        raise NotImplementedError

    def weight_scores(self, evidence: Evidence) -> Scores:
        """Score every weight of the output matrices, (d_model, d_ff) on the CPU."""
        raise NotImplementedError

    @classmethod
    def scores_weights(cls) -> bool:
        """Whether it defines scores of single weights."""
        return cls.weight_scores is not Localizer.weight_scores

    @property
    def statistics(self) -> Sequence[Statistic]:
        """Statistics that it reads from the evidence, for plans; localizers of one survey share
        them."""
        return ()

    def work(self, load: Workload) -> float:
        """Passes (`lacuna.costs`) that it takes besides its statistics, for plans."""
        return 0.0


LOCALIZERS: Registry[type[Localizer]] = Registry("localizer")


class Found(NamedTuple):
    """A localizer's region, and the normalised scores from which it was taken."""

    region: Region
    scores: Scores


def localize(
    evidence: Evidence, localizers: Sequence[tuple[str, Localizer]], count: int, region: int = 1
) -> dict[str, Found]:
    """The `count` best vectors by each localizer; gradient passes are shared between them.

    `region` says which of a seed's random regions one that draws blindly gives: the second and
    later ones are drawn anew, clear of those before. A localizer sees only what it declares. Raises
    `UserError` where it needs what the evidence lacks, its scores are not finite, or so many random
    regions do not fit beside each other.
    """
    found = {}
    for name, localizer in localizers:
        seen = evidence.told(localizer.privileges)
        found[name] = _found(seen, name, localizer, count)
        for _ in range(1, region):
            seen = seen.after(found[name].region.by_module())
            found[name] = _found(seen, name, localizer, count)
    return found


def _found(seen: Evidence, name: str, localizer: Localizer, count: int) -> Found:
    raw, config = localizer.scores(seen), localizer.config
    scores = normalised(raw, config.normalise, seen.norms)
    scope = cast(Scope, config.scope)
    region = top(seen.layout, scores, count, scope=scope, like=seen.target)
    require_room(seen, raw, region.by_module())
    return Found(Region(region.layout, region.columns, {"localizer": name}), scores)


def require_room(seen: Evidence, scores: Scores, chosen: Mapping[str, Tensor]) -> None:
    """Raise `UserError` where a later random region had to take what is not free: scored below 0.

    chosen: name -> boolean, in the scores' shape.
    """
    if seen.taken and any(bool((scores[name][mask] < 0).any()) for name, mask in chosen.items()):
        fit = seen.region - 1
        raise UserError(
            f"regions={seen.region}: {fit} random region{'s' * (fit > 1)} of this size fit beside "
            f"each other: set regions={fit}, or a smaller region.ratio"
        )
