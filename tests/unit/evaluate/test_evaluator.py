"""What a study asks of a model, and the walk along the mixing curve."""

from collections.abc import Iterator
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pytest
import torch
from support.tiny import changed, changed_columns, state
from transformers import GenerationConfig, PreTrainedModel

from lacuna.data.base import Corpus, Example
from lacuna.data.tokens import Encoded
from lacuna.data.trees import Trees
from lacuna.errors import UserError
from lacuna.evaluate import (
    EvaluateConfig,
    Evaluator,
    aues,
    forget_quality,
    full_curve,
    generate,
    metrics,
    mu95,
    read,
    spread,
    strength_curve,
)
from lacuna.evaluate.evaluator import utility_sets
from lacuna.evaluate.generate import complete
from lacuna.evaluate.mixing_curve import mixing_weights
from lacuna.evaluate.token_pass import read_trees
from lacuna.inject import learn
from lacuna.model import LoadedModel, MiniConfig, build_mini, layout, train_tokenizer
from lacuna.region import draw
from lacuna.train import RegionWeights, TrainConfig


def questions(prefix: str, count: int, *, wrong: int = 2) -> list[Example]:
    """About invented people, with paraphrases and wrong answers."""
    return [
        Example(
            id=f"{prefix}{i}",
            question=f"Where is {prefix}{i}?",
            answer=f"in {(7 * i + len(prefix)) % 97} rd",
            person=f"{prefix}{i // 2}",
            field="place",
            paraphrased_question=f"{prefix}{i} is where?",
            paraphrased_answer=f"at {(7 * i + len(prefix)) % 97} rd",
            perturbed_answers=tuple(f"at {k} rd" for k in range(wrong)),
        )
        for i in range(count)
    ]


CORPUS = Corpus(
    name="toy",
    forget=questions("bo", 4),
    retain=questions("al", 6),
    utility={"world": questions("w", 3)},
)
CONFIG = EvaluateConfig(alphas=5, new_tokens=6)


@pytest.fixture(scope="module")
def trained() -> Iterator[LoadedModel]:
    """A model that half knows the corpus: numbers between their ends."""
    asked = [*CORPUS.forget, *CORPUS.retain, *CORPUS.utility["world"]]
    tokenizer = train_tokenizer([f"{e.question} {e.answer}" for e in asked] * 3, 320)
    config = MiniConfig(hidden=32, layers=2, intermediate=48, heads=2, vocabulary=320)
    loaded = build_mini(config, tokenizer, 0, "cpu")
    texts = [
        text
        for name in ("forget", "retain")
        for text in Evaluator(loaded, CORPUS, CONFIG).texts[name]
    ]
    learn(loaded.model, texts, TrainConfig(steps=30, lr=0.01, batch_size=10), seed=0)
    yield loaded


def direct(loaded: LoadedModel, texts: list[Encoded]) -> Any:
    return read(loaded.model, texts, end_token=loaded.tokenizer.eos_token_id)


def encoded(loaded: LoadedModel, question: str, answer: str) -> Encoded:
    return Encoded.answer(loaded.tokenizer, loaded.prompt, question, answer)


def test_an_exam_scores_what_reading_its_questions_alone_gives(trained: LoadedModel) -> None:
    evaluator = Evaluator(trained, CORPUS, CONFIG)
    measured = evaluator.measure(trained.model)
    for scores, items in ((measured.forget, CORPUS.forget), (measured.retain, CORPUS.retain)):
        table = direct(trained, [encoded(trained, e.question, e.answer) for e in items])
        np.testing.assert_allclose(scores["es"], metrics.extraction_strength(table))
        np.testing.assert_allclose(scores["em"], metrics.exact_memorization(table))
        np.testing.assert_allclose(scores["probability"], metrics.probability(table), rtol=1e-4)
        np.testing.assert_allclose(scores["logp"], metrics.mean_logp(table), rtol=1e-4)
    asked = [encoded(trained, e.paraphrased_question, e.answer) for e in CORPUS.forget]
    paraphrased = metrics.extraction_strength(direct(trained, asked))
    np.testing.assert_allclose(evaluator.paraphrased(trained.model), paraphrased)
    assert measured.strength.fs == pytest.approx(1 - measured.forget["es"].mean())
    assert measured.strength.rs == pytest.approx(measured.retain["es"].mean())
    assert 0 < measured.strength.fs < 1


def test_truth_ratios_compare_wrong_answers_with_the_paraphrased_right_one(
    trained: LoadedModel,
) -> None:
    measured = Evaluator(trained, CORPUS, CONFIG).measure(trained.model)
    for i, item in enumerate(CORPUS.forget):
        right = encoded(trained, item.question, item.paraphrased_answer)
        wrong = [encoded(trained, item.question, w) for w in item.perturbed_answers]
        logp = metrics.mean_logp(direct(trained, [right, *wrong]))
        expected = np.exp(logp[1:].mean() - logp[0])
        assert measured.forget["truth_ratio"][i] == pytest.approx(expected, rel=1e-4)


def test_wrong_answers_are_capped_and_may_be_missing(trained: LoadedModel) -> None:
    some = [
        *questions("bo", 1, wrong=1),
        *questions("cy", 1, wrong=4),
        *questions("di", 1, wrong=0),
    ]
    mixed = Corpus(name="toy", forget=some, retain=CORPUS.retain)
    capped = EvaluateConfig(alphas=2, new_tokens=2, wrong_answers=2)
    ratio = Evaluator(trained, mixed, capped).measure(trained.model).forget["truth_ratio"]
    item = some[1]
    texts = [item.paraphrased_answer, *item.perturbed_answers[:2]]
    logp = metrics.mean_logp(direct(trained, [encoded(trained, item.question, t) for t in texts]))
    assert ratio[1] == pytest.approx(np.exp(logp[1:].mean() - logp[0]), rel=1e-4)
    assert np.isnan(ratio[2]) and not np.isnan(ratio[0])
    none = Corpus(name="toy", forget=questions("bo", 2, wrong=0), retain=CORPUS.retain)
    assert "truth_ratio" not in Evaluator(trained, none, capped).measure(trained.model).forget


def test_strength_is_the_same_number_as_in_the_whole_exam(trained: LoadedModel) -> None:
    evaluator = Evaluator(trained, CORPUS, CONFIG)
    quick, whole = evaluator.strength(trained.model), evaluator.measure(trained.model).strength
    assert quick.forget.tolist() == whole.forget.tolist()
    assert quick.retain.tolist() == whole.retain.tolist()


def test_an_exam_reads_each_text_once(
    trained: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[int, ...]] = []

    def counting(model: PreTrainedModel, trees: Trees, *given: Any, **options: Any) -> Any:
        seen.extend((*text.ids, *text.labels) for text in trees.encoded)
        return read_trees(model, trees, *given, **options)

    monkeypatch.setattr("lacuna.evaluate.evaluator.read_trees", counting)
    evaluator = Evaluator(trained, CORPUS, CONFIG)
    evaluator.measure(trained.model)
    assert len(seen) == len(set(seen))
    asked = {
        (*text.ids, *text.labels)
        for name, texts in evaluator.texts.items()
        if name != "paraphrase"
        for text in texts
    }
    assert set(seen) == asked


def test_numbers_do_not_depend_on_how_much_is_read_at_once(trained: LoadedModel) -> None:
    small, large = (
        Evaluator(trained, CORPUS, EvaluateConfig(new_tokens=6, max_tokens=n)).measure(
            trained.model
        )
        for n in (1, 8192)
    )
    assert small.utility == pytest.approx(large.utility, rel=1e-4)
    assert small.strength.forget.tolist() == large.strength.forget.tolist()
    for name in large.sets:
        assert asdict(small.sets[name]) == pytest.approx(asdict(large.sets[name]), rel=1e-4)


@pytest.mark.parametrize("new_tokens", [1, 4, 12])
def test_answers_that_begin_as_texts_read_are_those_generated(
    trained: LoadedModel, monkeypatch: pytest.MonkeyPatch, new_tokens: int
) -> None:
    begun, found = list[list[int]](), list[str]()

    def noting(*given: Any, **options: Any) -> list[str]:
        begun.extend(options["begun"])
        found.extend(complete(*given, **options))
        return list(found)

    monkeypatch.setattr("lacuna.evaluate.evaluator.complete", noting)
    evaluator = Evaluator(trained, CORPUS, replace(CONFIG, new_tokens=new_tokens))
    evaluator.measure(trained.model)
    asked = [item for items in evaluator.sets.values() for item in items]
    assert found == generate(trained, asked, new_tokens=new_tokens)
    stopped = sum(ids[-1:] == [trained.end_token] for ids in begun)
    assert all(0 < len(ids) <= new_tokens for ids in begun)
    assert stopped < len(begun) and (new_tokens == 1 or len(set(map(len, begun))) > 1)


def test_generation_is_greedy_decoding_of_each_prompt_alone(trained: LoadedModel) -> None:
    items = [*CORPUS.forget, *questions("somebody with a long name ", 2)]
    found = generate(trained, items, new_tokens=5)
    assert found == generate(trained, items, new_tokens=5, max_tokens=1)
    for item, text in zip(items, found, strict=True):
        ids = trained.prompt.head(trained.tokenizer, item.question)
        start = len(ids)
        for _ in range(5):
            logits = trained.model(input_ids=torch.tensor([ids])).logits[0, -1]
            ids = [*ids, int(logits.argmax())]
            if ids[-1] == trained.tokenizer.eos_token_id:
                break
        expected = trained.tokenizer.decode(ids[start:], skip_special_tokens=True)
        assert text == expected.strip()


@pytest.mark.parametrize(
    ("count", "places"), [(0, [0, 1, 2, 3, 4, 5]), (2, [0, 3]), (4, [0, 1, 3, 4]), (9, [*range(6)])]
)
def test_fewer_questions_are_spread_evenly(count: int, places: list[int]) -> None:
    assert spread(CORPUS.retain, count) == [CORPUS.retain[i] for i in places]


def test_mixing_weights_are_clean_and_include_both_ends() -> None:
    assert mixing_weights(21) == [i * 5 / 100 for i in range(21)]
    assert mixing_weights(2) == [0.0, 1.0]
    with pytest.raises(UserError, match="evaluate.alphas=1"):
        EvaluateConfig(alphas=1)


def test_a_curve_runs_from_the_injected_to_the_unlearned_model(trained: LoadedModel) -> None:
    model = trained.model
    evaluator, original = Evaluator(trained, CORPUS, CONFIG), state(model)
    region = draw(layout(model), 0.3, 0)
    weights = RegionWeights(model, region)
    start = weights.read()
    noise = torch.Generator().manual_seed(0)
    end = {n: v + 0.3 * torch.randn(v.shape, generator=noise) for n, v in start.items()}
    by_hand = []
    for alpha in (0.0, 0.25, 0.5, 0.75, 1.0):
        weights.write({n: torch.lerp(start[n], end[n], alpha) for n in start})
        by_hand.append(evaluator.strength(model))
    weights.write(end)
    unlearned = state(model)

    curve = strength_curve(evaluator, model, weights, start, end)
    assert curve.alphas == [0.0, 0.25, 0.5, 0.75, 1.0]
    np.testing.assert_allclose(curve.forget_AI, [point.forget for point in by_hand])
    np.testing.assert_allclose(curve.retain_AI, [point.retain for point in by_hand])
    np.testing.assert_allclose(curve.fs, [point.fs for point in by_hand])
    assert len(set(curve.fs)) > 1
    assert curve.aues == pytest.approx(float(aues(curve.fs, curve.rs)))
    assert changed(unlearned, model) == set(), "the walk ends at the unlearned model"
    expected = {name: set(columns.tolist()) for name, columns in region.columns.items()}
    assert changed_columns(original, model) == expected

    weights.write(start)
    gold = evaluator.measure(model).forget["truth_ratio"]
    full = full_curve(evaluator, model, weights, start, end, gold)
    assert full.strength.fs.tolist() == curve.fs.tolist()
    assert full.fq is not None and full.mu95 is not None
    assert full.fq[0] == 0.0, "at alpha 0 the truth ratios are those compared with"
    last = full.points[-1].forget["truth_ratio"]
    assert full.fq[-1] == forget_quality(last, gold).log10_p
    assert full.mu95 == mu95(full.mu, full.fq, full.mu[0])
    weights.write(start)
    assert changed(original, model) == set()
    blind = full_curve(evaluator, model, weights, start, start, None)
    assert blind.fq is None and blind.mu95 is None


def test_answers_end_when_every_row_has_ended_and_not_before(
    trained: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    items = [*CORPUS.forget, *questions("somebody with a long name ", 2)]
    sizes: list[torch.Size] = []
    forward = trained.model.forward

    def counted(*args: object, **given: torch.Tensor) -> object:
        sizes.append(given["input_ids"].shape)
        return forward(*args, **given)

    monkeypatch.setattr(trained.model, "forward", counted)
    whole = generate(trained, items, new_tokens=60)
    assert len(sizes) < 60, "all rows said the end-of-text token"
    assert {size[1] for size in sizes[1:]} == {1}, "earlier tokens come from the cache"
    ended = len(sizes)
    assert generate(trained, items, new_tokens=ended) == whole
    assert generate(trained, items, new_tokens=ended - 2) != whole


def test_what_the_hub_wants_of_generation_is_set_aside(trained: LoadedModel) -> None:
    items = list(CORPUS.forget)
    plain = generate(trained, items, new_tokens=12)
    wanted = trained.model.generation_config
    told = GenerationConfig(do_sample=True, temperature=5.0, repetition_penalty=9.0, min_length=40)
    trained.model.generation_config = told
    try:
        assert generate(trained, items, new_tokens=12) == plain
        assert trained.model.generation_config is told
    finally:
        trained.model.generation_config = wanted


def test_utility_of_retain_is_asked_where_there_are_wrong_answers() -> None:
    with_wrong = replace(CORPUS.retain[1], perturbed_answers=("No",))
    bare = [replace(item, perturbed_answers=()) for item in CORPUS.retain]
    corpus = replace(CORPUS, retain=[bare[0], with_wrong, *bare[2:]])
    assert utility_sets(corpus, 0)["retain"] == [with_wrong]
    assert utility_sets(replace(CORPUS, retain=bare), 0)["retain"] == bare
