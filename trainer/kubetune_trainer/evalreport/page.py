"""The document as a page that stands alone: no script, no request to anywhere, model output always escaped."""

from typing import Any

from ..scoring.figures import figure, joined, level_text, p_text, signed
from .document import Document
from .plot import axis
from .samples import sorts_present

#: What the metrics are, for those who meet them here for the first time.
METRICS = {
    "perplexity": "how surprised the model is by the reference answer, per token; 1 is no surprise at all",
    "bitsPerByte": "the same surprise per byte of text, comparable between models with different tokenizers",
    "rougeL": "how much of the reference reappears in the answer, in the same order (0 to 1)",
    "rouge1": "share of single words in common (0 to 1)",
    "rouge2": "share of word pairs in common (0 to 1)",
    "rougeLsum": "rougeL line by line (0 to 1)",
    "chrf": "character sequences in common with the reference (0 to 100)",
    "bleu": "word sequences in common with the reference (0 to 100)",
    "exactMatch": "share of answers that equal the reference, case and punctuation aside",
    "accuracy": "share of right labels",
    "precision": "of the rows given a label, the share that has it; mean over labels",
    "recall": "of the rows that have a label, the share that was given it; mean over labels",
    "f1": "balance of precision and recall; mean over labels",
}
TONES = {
    "better": ("✔", "Better"),
    "worse": ("✘", "Worse"),
    "mixed": ("±", "Mixed"),
    "unclear": ("?", "Not shown"),
}
SORTS = {
    "gain": "Biggest gains",
    "loss": "Biggest losses",
    "changed": "Answers that changed most",
    "drawn": "Drawn by lot",
}


def render_page(document: Document) -> str:
    """Return the page of a report."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("kubetune_trainer.evalreport", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"figure": shown, "signed": shown_signed, "level": level_text, "joined": joined}
    environment.globals |= {"axis": axis, "judgement": judgement, "sure": sure, "sorts_present": sorts_present}
    page: str = environment.get_template("report.html.j2").render(
        report=document, metrics=METRICS, tones=TONES, sorts=SORTS, names=[c["name"] for c in document["candidates"]]
    )
    return page.encode("utf-8", "replace").decode()  # a lone surrogate in an answer must not spoil the page


def shown(value: float | None) -> str:
    """Return a number for people."""
    return "unknown" if value is None else figure(value).replace("-", "−")


def shown_signed(value: float | None) -> str:
    """Return a difference for people."""
    return "unknown" if value is None else signed(value).replace("-", "−")


def sure(p_adjusted: float | None) -> str:
    """Return a p-value for people."""
    return "p unknown" if p_adjusted is None else p_text(p_adjusted)


def judgement(difference: dict[str, Any], metric: dict[str, Any], alpha: float) -> str:
    """Return better, worse or unclear, for the candidate in front; only what survives Holm counts."""
    delta, p_adjusted = difference["delta"], difference["pAdjusted"]
    if not metric["enough"] or delta is None or p_adjusted is None or p_adjusted > alpha:
        return "unclear"
    return "better" if (delta > 0) == metric["higherIsBetter"] else "worse"
