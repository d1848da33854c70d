"""`python -m kubetune_trainer.generate`: asks a model, base or tuned, without a cluster and without a run file."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

from kubetune_api.model import ModelSource

from .__main__ import QUIET
from .errors import as_trainer_error

_CACHE = Path("~/.cache/kubetune/models")


def main(arguments: list[str] | None = None) -> int:
    """Answer one prompt, or talk on the terminal; returns the exit code (see kubetune_api.exits)."""
    options = _arguments(arguments)
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    try:
        speaker = Speaker(options)
        if options.prompt is None:
            _talk(speaker)
        else:
            text = sys.stdin.read() if options.prompt == "-" else options.prompt
            print(speaker.answer([{"role": "user", "content": text.strip()}]))
    except KeyboardInterrupt:
        print()
        return 130
    except Exception as error:
        known = as_trainer_error(error)
        print(f"error: {known.message}", file=sys.stderr)
        return known.exit_code
    return 0


def _arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m kubetune_trainer.generate", description="Ask a model.")
    parser.add_argument("--model", required=True, metavar="URI", help="file://, hf://, s3:// or https://")
    parser.add_argument("--adapter", type=Path, metavar="FOLDER", help="adapter on top of the model")
    parser.add_argument("--cache", type=Path, default=_CACHE, metavar="FOLDER", help="where fetched models are kept")
    parser.add_argument("--prompt", help="one question, - reads it from standard input; a conversation when absent")
    parser.add_argument("--max-new-tokens", type=int, default=128, metavar="N")
    return parser.parse_args(arguments)


class Speaker:
    """A model that answers chats, likeliest token first."""

    def __init__(self, options: argparse.Namespace) -> None:
        import torch

        from kubetune_api.training import Precision

        from .engine import precision
        from .evaluation.adapters import fold_adapter
        from .evaluation.prompts import stops_of
        from .generation.decode import Decoding
        from .models import load_causal_lm, load_tokenizer, resolve_model

        local = resolve_model(ModelSource(uri=options.model), options.cache.expanduser())
        device = precision.device_of(torch.cuda.device_count())
        dtype = precision.torch_dtype(precision.resolve(Precision.AUTO, device))
        self.tokenizer = load_tokenizer(local)
        self.model: Any = load_causal_lm(local, dtype=dtype).to(device)
        if options.adapter is not None:
            self.model = fold_adapter(self.model, options.adapter, str(options.adapter))
        self.decoding = Decoding(options.max_new_tokens, stops_of(self.model, self.tokenizer))

    def answer(self, turns: list[dict[str, str]]) -> str:
        """Return the next turn of a chat; a model without chat template goes on with the last turn's text."""
        from .data.encoding import prompt_ids
        from .generation.decode import generate

        if getattr(self.tokenizer, "chat_template", None):
            ids = prompt_ids(self.tokenizer, turns)
        else:
            ids = self.tokenizer(turns[-1]["content"])["input_ids"]
        (tokens,) = generate(self.model, [ids], self.decoding)
        text: str = self.tokenizer.decode(tokens, skip_special_tokens=True)
        return text.strip()


def _talk(speaker: Speaker) -> None:
    """Hold a conversation until the input ends or a line is empty."""
    print("Ask something; an empty line ends the conversation.")
    turns: list[dict[str, str]] = []
    while text := _line():
        turns.append({"role": "user", "content": text})
        turns.append({"role": "assistant", "content": speaker.answer(turns)})
        print(turns[-1]["content"], flush=True)


def _line() -> str:
    try:
        return input("\n> ").strip()
    except EOFError:
        return ""


if __name__ == "__main__":
    sys.exit(main())
