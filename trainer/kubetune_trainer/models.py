"""Models: from a source to a local folder of safetensors, a tokenizer, and a loaded causal language model."""

from __future__ import annotations

import json
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kubetune_api.model import ModelSource

from .engine.durable import may_write
from .errors import BadSpec, ModelUnavailable
from .sources import Fetched, fetch_model

_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")
_KNOWN_TEMPLATE = "its tokenizer has no chat template"


@dataclass(frozen=True)
class LocalModel:
    """A model on this machine, as transformers reads it."""

    folder: Path
    """folder with config.json, safetensors and tokenizer files."""
    uri: str
    revision: str
    """revision: commit of the hub, or what tells this content from another."""

    @property
    def config(self) -> dict[str, Any]:
        """The model's config.json."""
        document: dict[str, Any] = json.loads((self.folder / "config.json").read_text())
        return document

    @property
    def positions(self) -> int | None:
        """Longest sequence the model knows positions for, in tokens; None when it does not say."""
        config = self.config
        inner = config.get("text_config") or config
        for name in ("max_position_embeddings", "n_positions", "max_sequence_length", "seq_length"):
            if isinstance(inner.get(name), int):
                return int(inner[name])
        return None


def resolve_model(source: ModelSource, cache: Path, *, room: int | None = None) -> LocalModel:
    """Return the model of a source, fetched and checked; a GGUF file is de-quantised into the cache once.

    Raises:
        ModelUnavailable: it is missing, forbidden, damaged, holds only pickles, or is of an unknown architecture.
        BadSpec: it needs code of its own and trustRemoteCode is off.
        DiskFull: it does not fit.
    """
    fetched = fetch_model(source, cache, room=room)
    folder = _dequantised(source.uri, fetched, cache) if fetched.path.suffix == ".gguf" else fetched.path
    model = LocalModel(folder, source.uri, fetched.revision)
    check_folder(model, trust_remote_code=source.trust_remote_code)
    return model


def check_folder(model: LocalModel, *, trust_remote_code: bool = False) -> None:
    """Check what can be checked without loading weights.

    Raises:
        ModelUnavailable: no config, unknown architecture, pickles only, missing or damaged weight files.
        BadSpec: the model needs code of its own and `trust_remote_code` is off.
    """
    if not model.folder.is_dir():
        raise ModelUnavailable(
            f"{model.uri} is a file, but a model is a folder with config.json and *.safetensors, or a .gguf file"
        )
    if not (model.folder / "config.json").exists():
        raise ModelUnavailable(f"{model.uri} has no config.json; a model folder has config.json and *.safetensors")
    _check_architecture(model, trust_remote_code)
    _check_weights(model)


def _check_architecture(model: LocalModel, trust_remote_code: bool) -> None:
    import transformers
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    try:
        config = model.config
    except json.JSONDecodeError as error:
        raise ModelUnavailable(f"{model.uri}: config.json is damaged: {error}", reason="ModelDamaged") from error
    kind = config.get("model_type", "")
    if "auto_map" in config and kind not in CONFIG_MAPPING_NAMES and not trust_remote_code:
        raise BadSpec(
            f"{model.uri} brings Python code of its own, which is not run; take a model whose architecture "
            "transformers has built in",
            reason="RemoteCodeRefused",
        )
    if kind not in CONFIG_MAPPING_NAMES and not trust_remote_code:
        raise ModelUnavailable(
            f"{model.uri}: model_type {kind!r} in config.json is unknown to transformers {transformers.__version__}; "
            "take a trainer image with a newer transformers, or another model",
            reason="UnknownArchitecture",
        )
    if kind not in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES and not trust_remote_code:
        raise ModelUnavailable(
            f"{model.uri}: {kind} is not a causal language model; take a decoder model such as Llama, Qwen or Gemma",
            reason="UnknownArchitecture",
        )


def _check_weights(model: LocalModel) -> None:
    from safetensors import SafetensorError, safe_open

    files = sorted(model.folder.glob("*.safetensors"))
    if not files:
        pickles = sorted(path.name for pattern in _PICKLES for path in model.folder.glob(pattern))
        problem = f"only pickled weights ({pickles[0]}), which can run code" if pickles else "no *.safetensors weights"
        remedy = "convert them with save_pretrained(safe_serialization=True)" if pickles else "check the path"
        raise ModelUnavailable(
            f"{model.uri} has {problem}; {remedy}", reason="PickleRefused" if pickles else "ModelDamaged"
        )
    index = model.folder / "model.safetensors.index.json"
    if index.exists():
        named = set(json.loads(index.read_text())["weight_map"].values())
        missing = sorted(named - {path.name for path in files})
        if missing:
            raise ModelUnavailable(
                f"{model.uri}: {missing[0]} is missing ({len(missing)} of {len(named)} weight files); fetch it again",
                reason="ModelDamaged",
            )
    for path in files:
        try:
            with safe_open(path, framework="pt"):
                pass
        except (SafetensorError, OSError) as error:
            raise ModelUnavailable(
                f"{model.uri}: {path.name} is damaged or cut off ({error}); fetch it again", reason="ModelDamaged"
            ) from error


def _dequantised(uri: str, fetched: Fetched, cache: Path) -> Path:
    """Return a folder with the GGUF file's weights in bfloat16, its tokenizer and chat template."""
    import hashlib

    key = hashlib.sha256(f"{uri}@{fetched.revision}".encode()).hexdigest()[:12]
    target = cache / f"{fetched.path.stem}-{key}"
    if (target / "config.json").exists():
        return target
    cache.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix=".gguf-", dir=cache))
    try:
        _write_dequantised(uri, fetched.path, part)
        part.chmod(0o755)
        may_write()
        part.rename(target)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return target


def _write_dequantised(uri: str, file: Path, folder: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    try:
        tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
        model = AutoModelForCausalLM.from_pretrained(
            file.parent,
            gguf_file=file.name,
            dtype=torch.bfloat16,
            quantization_config=GgufConfig(gguf_file=file.name, dequantize=True),
        )
    except (ValueError, KeyError, OSError, RuntimeError) as error:
        raise ModelUnavailable(
            f"{uri} cannot be read as GGUF: {str(error).splitlines()[0]}; fetch it again, or take the original model",
            reason="ModelDamaged",
        ) from error
    _forget_quantisation(model)
    tokenizer.save_pretrained(folder)
    model.save_pretrained(folder)


def _forget_quantisation(model: Any) -> None:
    """Make a de-quantised model a plain one: transformers refuses to save what was read from GGUF otherwise."""
    model.hf_quantizer = None
    model.is_quantized = False
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config


def load_tokenizer(model: LocalModel, *, trust_remote_code: bool = False) -> Any:
    """Return the fast tokenizer of a model.

    Raises:
        ModelUnavailable: there is none, or it has ids that the model has no embeddings for.
    """
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(model.folder, trust_remote_code=trust_remote_code)
    except (OSError, ValueError, KeyError) as error:
        raise ModelUnavailable(
            f"{model.uri} has no readable tokenizer ({str(error).splitlines()[0]}); copy tokenizer.json and "
            "tokenizer_config.json beside the weights",
            reason="TokenizerMissing",
        ) from error
    config = model.config
    vocabulary = (config.get("text_config") or config).get("vocab_size")
    highest = max(tokenizer.get_vocab().values(), default=-1)
    if highest < 0:
        raise ModelUnavailable(
            f"{model.uri} has no tokenizer; copy tokenizer.json and tokenizer_config.json beside the weights",
            reason="TokenizerMissing",
        )
    if isinstance(vocabulary, int) and highest >= vocabulary:
        raise ModelUnavailable(
            f"{model.uri}: the tokenizer has ids up to {highest}, but the model has embeddings for {vocabulary}; "
            "they do not belong together",
            reason="TokenizerMismatch",
        )
    return tokenizer


def require_chat_template(tokenizer: Any, uri: str) -> None:
    """Check that chats can be rendered.

    Raises:
        BadSpec: the tokenizer has no chat template.
    """
    if not getattr(tokenizer, "chat_template", None):
        raise BadSpec(
            f"{uri}: {_KNOWN_TEMPLATE}, which Chat and Instruction rows need; take the -Instruct or -Chat variant of "
            "the model, or write the rows as Completion {prompt, completion} or Text {text}",
            reason="ChatTemplateMissing",
        )


def load_causal_lm(model: LocalModel, *, dtype: Any, trust_remote_code: bool = False) -> Any:
    """Return the causal language model in `dtype` (a torch.dtype), on the CPU, in evaluation mode.

    Raises:
        ModelUnavailable: weights are missing or do not have the shapes that config.json says.
    """
    from transformers import AutoModelForCausalLM

    try:
        loaded, info = AutoModelForCausalLM.from_pretrained(
            model.folder,
            dtype=dtype,
            output_loading_info=True,
            trust_remote_code=trust_remote_code,
        )
    except (RuntimeError, OSError, ValueError) as error:
        raise ModelUnavailable(
            f"{model.uri} cannot be loaded: {str(error).splitlines()[0]}; fetch it again", reason="ModelDamaged"
        ) from error
    missing = sorted(info.get("missing_keys", ()))
    if missing:
        raise ModelUnavailable(
            f"{model.uri}: {len(missing)} weights are missing, the first is {missing[0]}; the files and config.json "
            "do not belong together",
            reason="ModelDamaged",
        )
    return loaded.eval()
