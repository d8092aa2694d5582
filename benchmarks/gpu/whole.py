"""Part 7: one experiment from start to end on the device: plant, recite, unlearn, relearn.

The embedded model and invented people, through the stages' own functions. What must hold is what
holds on a processor: injected facts are recited, all else is bit-equal (`injected` fails if not),
unlearning in the true region and in a random one takes them away, relearning is measured.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.gpu.check import Check, Checks, Setting, at_least, clock
from lacuna import pipeline
from lacuna.attack import AttackConfig
from lacuna.data import DATA
from lacuna.data.tokens import Prompt
from lacuna.evaluate import EvaluateConfig
from lacuna.inject import InjectConfig
from lacuna.localize import LOCALIZERS
from lacuna.pipeline import ModelConfig, RetainConfig, StageInputs, TrialConfig
from lacuna.train import Optimisation, TrainConfig
from lacuna.unlearn.objectives.npo import NPO

RECITED, FORGOTTEN = 0.9, 0.5
STAGES = ("base", "retained", "injected", "regions", "oracle", "random")


def checks(setting: Setting) -> Checks:
    """Extraction strengths and seconds, stage by stage."""
    with TemporaryDirectory() as root:
        folder = {name: Path(root) / name for name in STAGES}
        for path in folder.values():
            path.mkdir()
        yield from _experiment(setting, folder)


def _train(setting: Setting, steps: int, lr: float, batch_size: int = 16) -> TrainConfig:
    """Few steps where only the code is run."""
    return TrainConfig(steps=2 if setting.tiny else steps, lr=lr, batch_size=batch_size)


def _given(setting: Setting) -> StageInputs[None]:
    people = DATA["synthetic"]
    return StageInputs(
        corpus=people.load(people.Config(num_forget=4, num_retain=16, num_background=40)),
        model=ModelConfig(
            prompt=Prompt(template="{question}"),
            device=setting.device.type,
            pretrain=_train(setting, 100, 5e-3, 32),
        ),
        config=None,
        evaluate=EvaluateConfig(alphas=5, retain_items=24, utility_items=6, new_tokens=8),
        seed=1,
        ratio=0.1,
    )


def _experiment(setting: Setting, folder: Mapping[str, Path]) -> Checks:
    given = _given(setting)
    pipeline.base(folder["base"], given=given)
    recipe = RetainConfig(train=_train(setting, 200, 5e-3, 32), neutral=50, utility=True)
    known = pipeline.retained(
        folder["retained"], base=folder["base"], given=replace(given, config=recipe)
    )
    yield Check("retained model: forget ES", known["forget_es"])
    planting = InjectConfig(train=_train(setting, 150, 2e-2))
    with clock(setting) as seconds:
        injected = pipeline.injected(
            folder["injected"], retained=folder["retained"], given=replace(given, config=planting)
        )
    yield Check("injection", seconds[0], "s")
    recited = at_least("injected model: forget ES", injected["forget_es"], RECITED)
    yield recited if not setting.tiny else Check(recited.name, recited.value)
    pipeline.localized(
        folder["regions"],
        injected=folder["injected"],
        retained=folder["retained"],
        given=given,
        localizers={name: LOCALIZERS[name].Config() for name in ("oracle", "random")},
    )
    for scenario in ("oracle", "random"):
        config = TrialConfig(
            objective="npo",
            scenario=scenario,
            train=_train(setting, 60, 2e-2),
            options=NPO.Config(),
            attacks=AttackConfig(train=Optimisation(steps=2 if setting.tiny else 30)),
        )
        with clock(setting) as seconds:
            trial = pipeline.trial(
                folder[scenario],
                injected=folder["injected"],
                retained=folder["retained"],
                region=folder["regions"] / f"{scenario}.safetensors",
                given=replace(given, config=config),
            )
        yield Check(f"{scenario}: unlearned, measured, attacked", seconds[0], "s")
        gone = at_least(f"{scenario}: forget strength", trial["fs_end"], FORGOTTEN)
        yield gone if not setting.tiny else Check(gone.name, gone.value)
        assert trial is not None
        for attack in trial["attacks"]:
            yield Check(f"{scenario}: ES after {attack['attack']}", attack["others_es_after"])
