"""report.html and report.json: complete, self-contained, and safe whatever a model writes."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from transformers import PreTrainedTokenizerFast

from kubetune_trainer.evalreport.page import judgement, render_page, shown
from kubetune_trainer.evalreport.plot import axis
from kubetune_trainer.evalreport.samples import EACH, MOST_CHARACTERS, shortened
from unit.trainer.evaluation.evaluations import World, held_out, task

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'><b>&amp;\u202e\ud800"
#: Elements that need no end tag.
_VOID = {"meta", "br", "line", "circle"}


class Page(HTMLParser):
    """What a browser would see of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        self.attributes += attrs
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> closes another element"

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Return an evaluation that has run, of candidates whose every answer is hostile."""
    world = World(tmp_path_factory.mktemp("report"))
    uri = world.rows("heldout.jsonl", held_out())
    shots = {"examples": {"count": 2, "source": {"uri": world.rows("more.jsonl", held_out(40)[24:])}}}
    candidates = [
        {"name": "tuned", "model": world.model("other", seed=5)},
        {"name": "base", "baseline": True, "model": world.model("base")},
        {"name": "base-2-shot", "model": world.model("base"), "prompt": shots},
    ]
    gates = [{"name": "better", "metric": "generation/rougeL", "versus": "base-2-shot", "improvesBy": "0"}]
    world.evaluate(candidates, [task("Perplexity", uri), task("Generation", uri)], gates=gates)
    return world


@pytest.fixture
def document(world: World) -> dict[str, Any]:
    return world.document()


def page_of(document: dict[str, Any]) -> Page:
    return Page(render_page(document))


def test_the_page_is_well_formed_and_asks_for_nothing(world: World) -> None:
    text = (world.report / "report.html").read_text()
    page = Page(text)
    assert page.open == []
    assert not {"script", "link", "img", "iframe", "object"} & set(page.seen)
    assert not [value for name, value in page.attributes if name in ("src", "srcset") or name.startswith("on")]
    assert [value for name, value in page.attributes if name == "href"] == ["#results"]
    assert "url(" not in text
    assert "@import" not in text
    assert "default-src 'none'" in text


def test_the_verdict_comes_first_and_everything_else_is_there(document: dict[str, Any]) -> None:
    text = page_of(document).text
    order = ["Results", "How big, and how sure", "Gates", "Samples", "What an answer costs", "How it was measured"]
    places = [text.index(document["verdict"]), *(text.index(heading, 400) for heading in order)]
    assert places == sorted(places)
    for fact in ("400 bootstrap resamples, seed 42", "12 groups", "float32 on cpu, 1 core", "so perplexities can be"):
        assert fact in text
    assert "First prompt of base-2-shot, as the model reads it" in text
    assert all(candidate["revision"] in text for candidate in document["candidates"])


def test_every_metric_of_every_candidate_has_a_cell_with_its_interval(document: dict[str, Any]) -> None:
    text = page_of(document).text
    for found in document["tasks"]:
        for metric in found["metrics"]:
            for entry in metric["values"]:
                assert f"{shown(entry['low'])} to {shown(entry['high'])}" in text
            for difference in metric["differences"]:
                assert f"{difference['candidate']} − {difference['versus']}" in text


def test_what_a_model_writes_stays_text(document: dict[str, Any]) -> None:
    for found in document["tasks"]:
        for sample in found["samples"]:
            sample |= {"question": HOSTILE, "reference": HOSTILE, "file": HOSTILE, "group": HOSTILE}
            for answer in sample["answers"]:
                answer["text"] = HOSTILE
        found["prompts"] = {name: HOSTILE for name in found["prompts"]}
    document["verdict"] = HOSTILE
    page = page_of(document)
    assert page.open == []
    assert not {"script", "img", "b"} & set(page.seen)
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    assert page.text.count("<script>alert(1)</script>") > 20
    render_page(document).encode()


def test_answers_with_markup_come_through_the_whole_stage_as_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path)
    uri = world.rows("heldout.jsonl", held_out(12))
    base = {"name": "base", "baseline": True, "model": world.model("base")}
    monkeypatch.setattr(PreTrainedTokenizerFast, "decode", lambda *_, **__: "<script>alert(1)</script>")
    world.evaluate([base], [task("Generation", uri)])
    text = (world.report / "report.html").read_text()
    assert "<script" not in text
    assert "&lt;script&gt;alert(1)" in text


def test_samples_are_few_and_each_row_is_shown_once(document: dict[str, Any]) -> None:
    for found in document["tasks"]:
        rows = [sample["row"] for sample in found["samples"]]
        assert len(rows) == len(set(rows)) <= 4 * EACH
        sorts = [sample["sort"] for sample in found["samples"]]
        assert sorts == sorted(sorts, key=["gain", "loss", "changed", "drawn"].index)
        assert "drawn" in sorts
        assert all({a["candidate"] for a in s["answers"]} == {"tuned", "base", "base-2-shot"} for s in found["samples"])


def test_gains_are_over_the_best_rival(document: dict[str, Any]) -> None:
    (found,) = [entry for entry in document["tasks"] if entry["name"] == "perplexity"]
    for sample in found["samples"]:
        scores = {answer["candidate"]: answer["score"] for answer in sample["answers"]}
        rival = min(scores["base"], scores["base-2-shot"])
        if sample["sort"] in ("gain", "loss"):
            assert (scores["tuned"] < rival) is (sample["sort"] == "gain")


def test_long_texts_are_cut_in_the_middle() -> None:
    text = "a" * 5000 + "z"
    cut = shortened(text)
    assert len(cut) < MOST_CHARACTERS + 60
    assert cut.startswith("aaa")
    assert cut.endswith("z")
    assert "characters left out" in cut
    assert shortened("short") == "short"


def test_numbers_that_do_not_exist_are_null_and_unknown(tmp_path: Path) -> None:
    world = World(tmp_path)
    rows = [row | {"group": "one"} for row in held_out(4)]
    base = {"name": "base", "baseline": True, "model": world.model("base")}
    other = {"name": "other", "model": world.model("other", seed=5)}
    world.evaluate([base, other], [task("Perplexity", world.rows("one.jsonl", rows))])
    text = (world.report / "report.json").read_text()
    assert not re.search(r"\b(NaN|-?Infinity)\b", text)
    assert json.loads(text)["tasks"][0]["metrics"][0]["values"][0]["low"] is None
    page = (world.report / "report.html").read_text()
    assert "unknown to unknown" in page
    assert "fewer than 10, so nothing is called significant" in page


@pytest.mark.parametrize(
    ("delta", "p_adjusted", "higher", "enough", "said"),
    [
        (0.1, 0.01, True, True, "better"),
        (0.1, 0.01, False, True, "worse"),
        (-0.1, 0.01, False, True, "better"),
        (0.1, 0.06, True, True, "unclear"),
        (0.1, 0.01, True, False, "unclear"),
        (None, None, True, True, "unclear"),
    ],
)
def test_a_difference_is_called_better_only_when_it_is_sure(
    delta: float | None, p_adjusted: float | None, higher: bool, enough: bool, said: str
) -> None:
    metric = {"higherIsBetter": higher, "enough": enough}
    assert judgement({"delta": delta, "pAdjusted": p_adjusted}, metric, 0.05) == said


def test_the_axis_holds_all_values_and_has_round_ticks() -> None:
    scale = axis([12.3, 45.6, None], zero=True)
    assert scale.low < 0
    assert scale.high > 45.6
    assert scale.ticks == [0, 20, 40]
    assert scale.at(scale.low) == 0
    assert scale.at(1e9) == 100
    assert scale.at(None, 50) == 50
    assert axis([3.0, 3.0]).ticks
    assert axis([None]).ticks
