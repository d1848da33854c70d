"""Memory that training takes on each accelerator, estimated before anything runs; the trainer's dry run decides.

Bytes, with N parameters, N_t of them trained, T tokens in a micro-batch, L layers, width h, vocabulary V:

    weights      2 N in bf16, 4 N in fp32; QLoRA 0.516 N_linear + 2 N_embedding
    gradients    and optimizer states: N_t (2 + 4) in bf16, N_t (4 + 8) in fp32, N_t (4 + 4 + 8) for fp32 adapters
    activations  L k h T, or 2 h L T + k h T with checkpointing; k = 49 full, 45.5 LoRA, 87.5 DoRA (bf16)
    loss         a tile of 64 MiB, and 4 V h when the head is trained
    total        1.05 x the sum + 1.5 GiB for the runtime

About 8 % mean error against Qwen's published table (1.8B-72B), -30 % at worst.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kubetune_api.method import ADAPTER_TUNINGS, MethodSpec, Tuning
from kubetune_api.training import SEQUENCE_LENGTH, Optimizer, Precision, Toggle, TrainingSpec

_GIB, _MIB = 2**30, 2**20
_RUNTIME = 1.5 * _GIB
_MARGIN = 1.05
_LOSS_TILE = 64 * _MIB
_ACTIVATIONS = {Tuning.FULL: 49.0, Tuning.SPECTRUM: 49.0, Tuning.DORA: 87.5}
_LORA_ACTIVATIONS = 45.5
_DEFAULT_BATCH_TOKENS = 65536


@dataclass(frozen=True)
class ModelShape:
    """The figures of a decoder that decide its memory."""

    parameters: int
    layers: int
    hidden: int
    vocabulary: int
    intermediate: int
    tied: bool = True

    @property
    def embedding(self) -> int:
        """Return the parameters of the embedding and the head."""
        return self.vocabulary * self.hidden * (1 if self.tied else 2)

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "ModelShape":
        """Return the shape that a Hugging Face `config.json` describes.

        Raises:
            KeyError: it is no configuration of a decoder.
        """
        config = config.get("text_config") or config
        hidden, layers, vocabulary = config["hidden_size"], config["num_hidden_layers"], config["vocab_size"]
        heads = config.get("num_attention_heads", 1)
        size = config.get("head_dim") or hidden // heads
        keys = config.get("num_key_value_heads") or heads
        intermediate = config.get("intermediate_size", 4 * hidden)
        tied = bool(config.get("tie_word_embeddings", False))
        attention = 2 * hidden * heads * size + 2 * hidden * keys * size
        parameters = layers * (attention + 3 * hidden * intermediate + 2 * hidden) + hidden
        parameters += vocabulary * hidden * (1 if tied else 2)
        return cls(parameters, layers, hidden, vocabulary, intermediate, tied)

    @classmethod
    def from_name(cls, uri: str) -> "ModelShape | None":
        """Return a typical shape for the size in a name such as Qwen2.5-0.5B, or None when it has none."""
        found = re.findall(r"(?<![\w.])(\d+(?:\.\d+)?)([BbMm])(?![A-Za-z0-9])", uri.replace("-", " ").replace("_", " "))
        if not found:
            return None
        number, unit = found[-1]
        parameters = int(float(number) * (10**9 if unit in "Bb" else 10**6))
        size, layers, hidden = min(_TYPICAL, key=lambda entry: abs(entry[0] - parameters) / entry[0])
        return cls(parameters, layers, hidden, 128_000 if size >= 4e8 else 49_152, hidden * 7 // 2)


#: Parameters, layers and width of well-known decoders.
_TYPICAL = (
    (135_000_000, 30, 576),
    (360_000_000, 32, 960),
    (500_000_000, 24, 896),
    (1_200_000_000, 16, 2048),
    (1_500_000_000, 28, 1536),
    (3_000_000_000, 32, 2560),
    (7_000_000_000, 28, 3584),
    (8_000_000_000, 32, 4096),
    (14_000_000_000, 48, 5120),
    (32_000_000_000, 64, 5120),
    (72_000_000_000, 80, 8192),
)


@dataclass(frozen=True)
class MemoryEstimate:
    """Bytes by part, and in all."""

    weights: float
    gradients_and_optimizer: float
    activations: float
    loss: float
    trained: int
    """Parameters that are trained."""

    @property
    def total(self) -> float:
        """Return the bytes of the whole process on its accelerator."""
        return _MARGIN * (self.weights + self.gradients_and_optimizer + self.activations + self.loss) + _RUNTIME

    @property
    def parts(self) -> Mapping[str, float]:
        """Return the parts by name, the runtime and its margin included; they add up to the total."""
        parts = {
            "weights": self.weights,
            "gradients and optimizer": self.gradients_and_optimizer,
            "activations": self.activations,
            "loss": self.loss,
        }
        return parts | {"runtime and margin": self.total - sum(parts.values())}


def micro_batch_tokens(training: TrainingSpec) -> int:
    """Return the tokens of one forward pass: a full sequence, or the whole batch when that is less."""
    longest = training.sequence_length or SEQUENCE_LENGTH
    return min(longest, training.global_batch_tokens or _DEFAULT_BATCH_TOKENS)


def trained_parameters(shape: ModelShape, method: MethodSpec) -> int:
    """Return how many parameters are trained."""
    if method.tuning in ADAPTER_TUNINGS:
        rank = method.lora.rank if method.lora else 16
        attention, feed_forward = 4 * 2 * shape.hidden, 3 * (shape.hidden + shape.intermediate)
        return rank * shape.layers * (attention + feed_forward)
    if method.tuning is Tuning.SPECTRUM:
        share = method.spectrum.top_percent if method.spectrum else 25
        return (shape.parameters - shape.embedding) * share // 100
    return shape.parameters


def estimate(shape: ModelShape, method: MethodSpec, training: TrainingSpec) -> MemoryEstimate:
    """Return the estimate for one accelerator."""
    trained, tokens = trained_parameters(shape, method), micro_batch_tokens(training)
    wide = training.precision is Precision.FP32
    weights = (4.0 if wide else 2.0) * shape.parameters
    if method.tuning is Tuning.QLORA:
        weights = 0.516 * (shape.parameters - shape.embedding) + 2.0 * shape.embedding
    factor = _ACTIVATIONS.get(method.tuning, _LORA_ACTIVATIONS) * (2 if wide else 1)
    activations = shape.layers * factor * shape.hidden * tokens
    if training.activation_checkpointing is Toggle.ON:
        activations = 2.0 * shape.hidden * shape.layers * tokens + factor * shape.hidden * tokens
    head = 4.0 * shape.vocabulary * shape.hidden if method.tuning is Tuning.FULL else 0.0
    return MemoryEstimate(
        weights, trained * _bytes_per_trained(method, training), activations, _LOSS_TILE + head, trained
    )


def _bytes_per_trained(method: MethodSpec, training: TrainingSpec) -> float:
    """Return the bytes of gradient and optimizer states; adapters have their fp32 weights here as well."""
    eight_bit = training.optimizer is not Optimizer.ADAMW
    if method.tuning in ADAPTER_TUNINGS:
        return 4 + 4 + (2 if eight_bit else 8)
    gradient = 4 if training.precision is Precision.FP32 else 2
    return gradient + (2 if eight_bit else 2 * gradient)
