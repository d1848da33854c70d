"""A key/value cache written in place: no copy of the past at each step, and a shared prefix computed once."""

import inspect
from typing import Any, Protocol

import torch
from torch import Tensor
from transformers.cache_utils import Cache, CacheLayerMixin

#: Layer kinds whose whole state is keys and values by position.
_ATTENTION_KINDS = {"full_attention", "sliding_attention", "chunked_attention"}
#: The name of forward's argument for the cache: transformers from 5.24 on, and before.
_CACHE_ARGUMENTS = ("cache", "past_key_values")
#: Fields of configurations that mix attention with recurrent layers.
_RECURRENT_FIELDS = ("state_size", "ssm_cfg", "mamba_d_state", "mamba_d_conv", "attn_layer_period", "conv_L_cache")


class CausalModel(Protocol):
    """The part of a transformers causal language model that decoding needs."""

    config: Any
    device: torch.device
    dtype: torch.dtype

    def __call__(self, **inputs: Any) -> Any:
        """Run the model."""

    def forward(self, **inputs: Any) -> Any:
        """Run the model, without hooks."""

    def get_output_embeddings(self) -> torch.nn.Module:
        """Return the layer that makes logits."""


class SlabLayer(CacheLayerMixin):  # type: ignore[misc]
    """Keys and values of one layer in buffers of shape (rows, heads, capacity, head size).

    Sliding-window layers keep all positions too: their mask does the sliding.
    """

    is_sliding = False

    def __init__(self, rows: int, capacity: int) -> None:
        super().__init__()
        self.rows, self.capacity, self.length = rows, capacity, 0

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """Allocate buffers that fit the first states seen."""
        self.keys = self._buffer(key_states)
        self.values = self._buffer(value_states)
        self.is_initialized = True

    def _buffer(self, states: Tensor) -> Tensor:
        _, heads, _, size = states.shape
        return torch.empty(self.rows, heads, self.capacity, size, dtype=states.dtype, device=states.device)

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """Append states of the first rows and return all their keys and values, as views."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        rows, end = key_states.shape[0], self.length + key_states.shape[2]
        self.keys[:rows, :, self.length : end] = key_states
        self.values[:rows, :, self.length : end] = value_states
        self.length = end
        return self.keys[:rows, :, :end], self.values[:rows, :, :end]

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """Return (length, offset) of the keys that the next queries see."""
        return self.length + query_length, 0

    def get_seq_length(self) -> int:
        """Return the positions held."""
        return self.length

    def get_max_length(self) -> int:
        """Return -1: nothing ever drops out."""
        return -1

    def keep(self, rows: Tensor) -> None:
        """Keep only `rows`, in that order."""
        self.keys, self.values = self.keys[rows], self.values[rows]
        self.rows = len(rows)

    def copy_prefix(self, prefix: "SlabLayer") -> None:
        """Start all rows with the first row of `prefix`."""
        self.lazy_initialization(prefix.keys, prefix.values)
        self.length = prefix.length
        self.keys[:, :, : self.length] = prefix.keys[:1, :, : self.length]
        self.values[:, :, : self.length] = prefix.values[:1, :, : self.length]


class SlabCache(Cache):  # type: ignore[misc]
    """A cache of slab layers with room for `rows` sequences of `capacity` positions."""

    def __init__(self, layers: int, rows: int, capacity: int) -> None:
        super().__init__(layers=[SlabLayer(rows, capacity) for _ in range(layers)])
        self.rows, self.capacity = rows, capacity

    @classmethod
    def after_prefix(cls, prefix: "SlabCache", rows: int, capacity: int) -> "SlabCache":
        """Return a cache whose rows all start with the one sequence in `prefix`."""
        cache = cls(len(prefix.layers), rows, capacity)
        for layer, start in zip(cache.layers, prefix.layers, strict=True):
            if start.is_initialized:  # layers that share another layer's keys stay empty
                layer.copy_prefix(start)
        return cache

    def rewind(self, length: int) -> None:
        """Forget positions from `length` on."""
        for layer in self.layers:
            layer.length = min(layer.length, length)

    def keep(self, rows: Tensor) -> None:
        """Keep only `rows`: finished sequences cost nothing any more."""
        for layer in self.layers:
            if layer.is_initialized:
                layer.keep(rows)
        self.rows = len(rows)


def _text_config(model: CausalModel) -> Any:
    return model.config.get_text_config(decoder=True)


def _cache_argument(model: CausalModel) -> str | None:
    parameters = inspect.signature(model.forward).parameters
    return next((name for name in _CACHE_ARGUMENTS if name in parameters), None)


def holding(model: CausalModel, cache: SlabCache) -> dict[str, Any]:
    """Return the arguments that make a forward pass read and fill the cache."""
    name = _cache_argument(model)
    assert name is not None, "only models for which takes_slab is true have a cache"
    return {name: cache, "use_cache": True}


def takes_slab(model: CausalModel) -> bool:
    """Return whether keys and values by position are the whole state of the model (nothing recurrent)."""
    if _cache_argument(model) is None:
        return False
    config = _text_config(model)
    kinds = getattr(config, "layer_types", None)
    if kinds is not None:
        return set(kinds) <= _ATTENTION_KINDS
    return hasattr(config, "num_attention_heads") and not any(hasattr(config, name) for name in _RECURRENT_FIELDS)


def slides(model: CausalModel) -> bool:
    """Return whether some layer sees a window only: then padding may not stand inside a sequence."""
    config = _text_config(model)
    kinds = getattr(config, "layer_types", None) or ()
    return any(kind != "full_attention" for kind in kinds) or (
        not kinds and getattr(config, "sliding_window", None) is not None
    )


def new_cache(model: CausalModel, rows: int, capacity: int) -> SlabCache:
    """Return an empty cache for the model."""
    return SlabCache(_text_config(model).num_hidden_layers, rows, capacity)


def bytes_per_position(model: CausalModel) -> int:
    """Return the bytes of keys and values that one position takes in all layers."""
    config = _text_config(model)
    heads = getattr(config, "num_attention_heads", 1)
    size = getattr(config, "head_dim", None) or config.hidden_size // heads
    shared = getattr(config, "num_key_value_heads", None) or heads
    return 2 * int(config.num_hidden_layers) * int(shared) * int(size) * model.dtype.itemsize
