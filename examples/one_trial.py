"""One experiment from start to end with the library alone: plant facts, unlearn them, look.

    python examples/one_trial.py [--objective npo] [--scenario oracle] [--lr 0.02] [--seed 1]

Takes a minute on two cores. The scenario is `oracle` (the region that holds the facts), `full` (all
parameters) or a localizer's name, such as `random`. `--effort 0.01` only shows that it runs. A
study does the same for many seeds, and searches rates, attacks and tests: `sweeps/`.
"""

import argparse
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from transformers.utils.logging import disable_progress_bar

from lacuna import pipeline
from lacuna.data import DATA
from lacuna.data.tokens import Prompt
from lacuna.evaluate import EvaluateConfig
from lacuna.inject import InjectConfig
from lacuna.localize import LOCALIZERS
from lacuna.pipeline import ModelConfig, RetainConfig, StageInputs, TrialConfig
from lacuna.train import TrainConfig
from lacuna.unlearn import OBJECTIVES


def main(objective: str, scenario: str, lr: float, seed: int, effort: float, root: Path) -> None:
    """Do every stage in a folder of its own below `root`; print what each model knows."""
    disable_progress_bar()

    def train(steps: int, lr: float, batch_size: int = 16) -> TrainConfig:
        return TrainConfig(steps=max(1, int(effort * steps)), lr=lr, batch_size=batch_size)

    folder = {name: root / name for name in ("base", "retained", "injected", "regions", "trial")}
    for path in folder.values():
        path.mkdir()
    people = DATA["synthetic"]
    given = StageInputs(
        corpus=people.load(people.Config(num_forget=4, num_retain=16, num_background=40)),
        model=ModelConfig(prompt=Prompt(template="{question}"), pretrain=train(100, 5e-3, 32)),
        config=None,
        evaluate=EvaluateConfig(alphas=5, retain_items=24, utility_items=6, new_tokens=8),
        seed=seed,
        ratio=0.1,
    )
    pipeline.base(folder["base"], given=given)

    recipe = RetainConfig(train=train(200, 5e-3, 32), neutral=50, utility=True)
    retained = pipeline.retained(
        folder["retained"], base=folder["base"], given=replace(given, config=recipe)
    )
    planting = InjectConfig(train=train(150, 2e-2))
    injected = pipeline.injected(
        folder["injected"], retained=folder["retained"], given=replace(given, config=planting)
    )
    region = None if scenario == "full" else folder["regions"] / f"{scenario}.safetensors"
    if region is not None:  # under its name; `oracle` is a localizer that is told the truth
        pipeline.localized(
            folder["regions"],
            injected=folder["injected"],
            retained=folder["retained"],
            given=given,
            localizers={scenario: LOCALIZERS[scenario].Config()},
        )
    method, unlearning = OBJECTIVES[objective], train(60, lr)
    trial = pipeline.trial(
        folder["trial"],
        injected=folder["injected"],
        retained=folder["retained"],
        region=region,
        given=replace(
            given,
            config=TrialConfig(
                objective=objective, scenario=scenario, train=unlearning, options=method.Config()
            ),
        ),
    )
    print("extraction strength: the share of an answer that a model adds   forget   retain")
    for name, es in (("retained, never read the forget facts", retained), ("injected", injected)):
        print(f"{name:<64}{es['forget_es']:>6.2f}{es['retain_es']:>9.2f}")
    name = f"unlearned by {objective}, scenario {scenario}"
    print(f"{name:<64}{1 - trial['fs_end']:>6.2f}{trial['rs_end']:>9.2f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--objective", default="npo", choices=OBJECTIVES)
    parser.add_argument("--scenario", default="oracle", choices=["full", *LOCALIZERS])
    parser.add_argument("--lr", type=float, default=0.02, help="learning rate of unlearning")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--effort", type=float, default=1.0, help="share of all training steps")
    with TemporaryDirectory() as root:
        main(**vars(parser.parse_args()), root=Path(root))
