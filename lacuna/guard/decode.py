r"""Decoding filter (in the style of GUARD, generation-time unlearning, arXiv:2505.13312).

    logit(v) <- -inf   for every token v with which the answer would contain a value

Watched are the answers to all facts of the person whom the nearest forget question is about, if the
cosine of the prompts' last hidden states, averaged over tokens, reaches `threshold`. A value is
found whatever its tokens, letter case and surroundings: texts are compared. GUARD trains a
classifier of prompts, compares meanings too, and searches with beams; its thresholds are not
public. Limits: threshold above 1 is no guard, -1 guards every prompt; no watched value can be told.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lacuna.data.base import Example
from lacuna.errors import UserError
from lacuna.evaluate.generate import prompts
from lacuna.guard.base import GUARDS, Filter, Guard
from lacuna.model.hidden import decoder_layers
from lacuna.model.load import LoadedModel


@GUARDS.register("decode")
class Decode(Guard):
    """Never complete a value of the person asked about."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """When it acts."""

        threshold: float = 0.9
        """Cosine with the nearest forget question from which the answer is watched."""

        def __post_init__(self) -> None:
            if not self.threshold >= -1:
                raise UserError(f"guard: threshold={self.threshold}: must be -1 or more")

    config: Config

    def __init__(self, config: Config, loaded: LoadedModel, facts: Sequence[Example]) -> None:
        super().__init__(config, loaded, facts)
        if not facts:
            raise UserError("a guard needs the facts that it guards: give some")
        self.known_ID = torch.stack([self._state(head) for head in prompts(loaded, facts)])
        self.spelled = _spelled(loaded)
        self.told: dict[tuple[str, ...], list[int]] = {}

    def filter(self, prompt: Sequence[int]) -> Filter | None:
        """Watches the values of one person, or nothing."""
        likeness_I = self.known_ID @ self._state(prompt)
        nearest = int(likeness_I.argmax())
        if float(likeness_I[nearest]) < self.config.threshold:
            return None
        person = self.facts[nearest].person
        watched = [fact.answer.strip().lower() for fact in self.facts if fact.person == person]

        def allowed(said: Sequence[int], logits_V: Tensor) -> Tensor:
            (text,) = self.loaded.tokenizer.batch_decode([list(said)])
            banned = self._completing(text.lower(), watched)
            if not banned:
                return logits_V
            changed_V = logits_V.clone()
            changed_V[banned] = -torch.inf
            return changed_V

        return allowed

    def _completing(self, said: str, values: Sequence[str]) -> list[int]:
        """Tokens with which the text would contain a value that it does not contain."""
        rests = set()
        for value in values:
            for begun in range(len(value)):
                if said.endswith(value[:begun]):
                    rests.add(value[begun:])
        whole = tuple(sorted(rests))
        if whole not in self.told:
            self.told[whole] = [
                token
                for token, text in enumerate(self.spelled)
                if any(value in text for value in values) or text.startswith(whole)
            ]
        return self.told[whole]

    @torch.no_grad()
    def _state(self, ids: Sequence[int]) -> Tensor:
        """(D,) mean last hidden state of a prompt, of length 1."""
        model, kept = self.loaded.model, list[Tensor]()

        def keep(module: object, args: object, output: Tensor | tuple[Tensor, ...]) -> None:
            kept.append(output[0] if isinstance(output, tuple) else output)

        handle = decoder_layers(model)[-1].register_forward_hook(keep)
        try:
            model(input_ids=torch.tensor([list(ids)], device=model.device), use_cache=False)
        finally:
            handle.remove()
        state_D: Tensor = kept[0].reshape(-1, kept[0].shape[-1]).float().mean(dim=0).cpu()
        return torch.nn.functional.normalize(state_D, dim=0)


def _spelled(loaded: LoadedModel) -> list[str]:
    """Every token's text behind a letter, where no tokenizer drops a blank; in small letters."""
    weight = loaded.model.get_output_embeddings().weight
    letter = loaded.tokenizer("a", add_special_tokens=False)["input_ids"][-1]
    pairs = [[letter], *([letter, token] for token in range(weight.shape[0]))]
    alone, *behind = loaded.tokenizer.batch_decode(pairs)
    return [text.removeprefix(alone).lower() for text in behind]
