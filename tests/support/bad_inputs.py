"""Forty bad inputs with their exit status and words, as docs/operations.md lists them.

`PYTHONPATH=.:tests python -m support.bad_inputs` writes the list.
"""

import os
from pathlib import Path

from support.hostile import answer

PAGE = Path(__file__).parents[2] / "docs" / "operations.md"
BEGIN, END = "<!-- bad inputs -->", "<!-- /bad inputs -->"
INPUTS = [
    "study=smok",
    "modle=mini",
    "data=jsnl",
    "data=5",
    "model=,",
    "seeds",
    "seeds=[1",
    "seeds=many",
    "seeds=[1,1]",
    "seeds=[0]",
    "seeds=[-1]",
    "regions=9",
    "region.ratio=0.9",
    "region.unit=rows",
    "region.file=/nonexistent",
    "objectives=[npoo]",
    "objectives=[npo+sma]",
    "scenarios=[oracel]",
    "localizers=[memflx]",
    "protocol=ful",
    "inject.method=full",
    "inject.train.steps=-1",
    "inject.train.stpes=2",
    "unlearn.lr=nan",
    "unlearn.lrs.region=5",
    "unlearn.lrs.region.npo=[1e-3,1e-3]",
    "+unlearn.lrs.orcale.npo=[1e-3]",
    "unlearn.train.lr=1",
    "unlearn.options.npo.beta=-1",
    "unlearn.wrap.sam.rho=inf",
    "attack.bits=[1]",
    "attack.share=2",
    "evaluate.alphas=1000000000",
    "margins.aues=-1",
    "significance.permutations=0",
    "resources.gpus=1.5",
    "data=jsonl data.path=/nonexistent.jsonl",
    "data=jsonl data.path=a=b",
    "data=tofu data.forget=forget05",
    "data.path=x",
    "model.source=/nonexistent",
    "model.prompt.template=x",
]


def table() -> str:
    """The list as it stands in the page."""
    lines = [BEGIN, "", "| after `lacuna plan smoke` | status | what is said |", "|---|---|---|"]
    for words in INPUTS:
        found = answer(["study=smoke", "plan=true", *words.split()])
        assert found.what == "refused", (words, found)
        told = found.said.replace("|", "\\|").replace(f"{os.getcwd()}/", "")
        told = told if len(told) <= 160 else f"{told[:157]}..."
        lines.append(f"| `{words}` | 2 | {told} |")
    return "\n".join([*lines, "", END])


def page(text: str) -> str:
    """The page with the list as it is made now."""
    before, rest = text.split(BEGIN)
    return before + table() + rest.split(END)[1]


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text("utf-8")), encoding="utf-8")
