"""Our metrics equal the reference libraries on the same predictions."""

import random

import numpy as np
import pytest
from rouge_score.rouge_scorer import RougeScorer
from sklearn import metrics

from kubetune_trainer.scoring import classification, translation
from kubetune_trainer.scoring.bootstrap import cluster_sums
from kubetune_trainer.scoring.exact_match import exact_match, normalise
from kubetune_trainer.scoring.perplexity import perplexity_measures
from kubetune_trainer.scoring.rouge import NAMES, rouge, rouge_scores, words

WORDS = [
    "the",
    "a",
    "cat",
    "sat",
    "on",
    "Return",
    "value",
    "of",
    "x_1",
    "dict()",
    "item,",
    "3.5",
    "don't",
    "re-use\nline",
]


def texts(count: int, seed: int, longest: int = 30) -> list[str]:
    rng = random.Random(seed)
    return [" ".join(rng.choices(WORDS, k=rng.randint(0, longest))) for _ in range(count)]


def test_rouge_equals_rouge_score() -> None:
    scorer = RougeScorer(list(NAMES), use_stemmer=False)
    for found, wanted in zip(texts(200, 1), texts(200, 2), strict=True):
        expected = {name: score.fmeasure for name, score in scorer.score(wanted, found).items()}
        assert rouge_scores(found, wanted) == pytest.approx(expected, abs=1e-6)


def test_rouge_mean_is_the_mean_of_rows() -> None:
    found, wanted = texts(20, 3), texts(20, 4)
    for measure in rouge(found, wanted):
        assert measure.value() == pytest.approx(
            np.mean([rouge_scores(f, w)[measure.name] for f, w in zip(found, wanted, strict=True)])
        )


def test_rouge_counts_words_of_other_scripts() -> None:
    assert words("naïve Δοκιμή 東京") == ["naïve", "δοκιμή", "東", "京"]
    assert rouge_scores("東京は大きい", "東京は小さい")["rouge1"] > 0.5


def test_bleu_equals_sacrebleu() -> None:
    from sacrebleu.metrics import BLEU

    for seed in range(30):
        longest = 3 if seed % 3 == 0 else 30
        found, wanted = texts(12, seed, longest), texts(12, seed + 100, longest)
        if seed % 2:
            found[:6] = wanted[:6]
        expected = BLEU().corpus_score(found, [wanted]).score
        measure = translation.bleu(found, wanted)
        assert measure.value() == pytest.approx(expected, abs=1e-6)
    assert measure.signature.startswith("nrefs:1|case:mixed")


def test_chrf_equals_sacrebleu() -> None:
    from sacrebleu.metrics import CHRF

    for seed in range(20):
        found, wanted = texts(10, seed), texts(10, seed + 50)
        measure = translation.chrf(found, wanted)
        assert measure.value() == pytest.approx(CHRF().corpus_score(found, [wanted]).score, abs=1e-6)


@pytest.mark.parametrize("answers", [["", ""], ["ab", ""]])
def test_empty_predictions_score_zero(answers: list[str]) -> None:
    assert translation.bleu(["", ""], answers).value() == 0.0
    assert translation.chrf(["", ""], answers).value() == 0.0


def test_classification_equals_scikit_learn() -> None:
    rng = random.Random(5)
    labels = ["no", "not sure", "yes"]
    for _ in range(20):
        actual = labels + rng.choices(labels, k=40)
        predicted = rng.choices([*labels, classification.UNPARSABLE], k=43)
        measures = {m.name: m.value() for m in classification.macro_measures(predicted, actual, labels)}
        expected = metrics.precision_recall_fscore_support(
            actual, predicted, labels=labels, average="macro", zero_division=0
        )
        assert [measures["precision"], measures["recall"], measures["f1"]] == pytest.approx(expected[:3], abs=1e-9)
        assert classification.accuracy(predicted, actual).value() == metrics.accuracy_score(actual, predicted)


@pytest.mark.parametrize(
    ("answer", "label"),
    [
        ("spam", "spam"),
        (" Not Spam.", "not spam"),
        ("The label is: not spam\nbecause it is mail", "not spam"),
        ("spam or not spam?", classification.UNPARSABLE),
        ("spammer", classification.UNPARSABLE),
        ("", classification.UNPARSABLE),
    ],
)
def test_reads_a_label_from_an_answer(answer: str, label: str) -> None:
    assert classification.parse_label(answer, ["spam", "not spam"]) == label


def test_exact_match_forgives_case_space_and_a_final_stop_but_not_punctuation_inside() -> None:
    assert normalise(' "The  Cat."') == "the cat"
    assert exact_match(["A b.", "f(x)"], ["a B", "f[x]"]).value() == 0.5


def test_perplexity_is_weighted_by_token_not_by_row() -> None:
    perplexity, bits = perplexity_measures([2.0, 30.0], [1, 30], ["é", "abcd"])
    assert perplexity.value() == pytest.approx(np.exp(32 / 31))
    assert bits.value() == pytest.approx(32 / np.log(2) / 6)


def test_cluster_sums_keep_the_corpus_value() -> None:
    measure = translation.bleu(texts(9, 7), texts(9, 7))
    clusters = np.asarray([0, 0, 1, 1, 1, 2, 2, 3, 3])
    assert float(measure.formula(cluster_sums(measure.rows, clusters).sum(axis=0))) == measure.value()
