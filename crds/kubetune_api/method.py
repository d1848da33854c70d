"""`spec.method`: what is optimised and which weights move."""

from enum import StrEnum
from typing import Annotated

from pydantic import ConfigDict, Field, StringConstraints

from .fields import ApiModel, DecimalText, cel

ModuleName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]+$", max_length=128)]


class Objective(StrEnum):
    """What training optimises."""

    SFT = "SFT"
    DPO = "DPO"
    REWARD = "Reward"
    GRPO = "GRPO"
    RLOO = "RLOO"


class Tuning(StrEnum):
    """Which weights move."""

    FULL = "Full"
    LORA = "LoRA"
    QLORA = "QLoRA"
    DORA = "DoRA"
    SPECTRUM = "Spectrum"


#: Tunings that train low-rank adapters on a frozen base.
ADAPTER_TUNINGS = (Tuning.LORA, Tuning.QLORA, Tuning.DORA)


class LoraSpec(ApiModel):
    """Low-rank adapters (Hu et al., 2021, arXiv:2106.09685)."""

    rank: int = Field(default=16, ge=1, le=1024)
    """rank of the update: more can learn more, and takes more memory."""
    alpha: int = Field(default=32, ge=1, le=4096)
    """alpha scales the update by alpha / rank; twice the rank is usual."""
    dropout: DecimalText = "0"
    """dropout on the adapter's input; 0 is the fastest and the default."""
    target_modules: Annotated[list[ModuleName], Field(min_length=1, max_length=64)] = ["all-linear"]
    """targetModules names the modules that get an adapter: all-linear for every linear layer of the decoder, or names
    such as q_proj."""
    modules_to_save: Annotated[list[ModuleName], Field(max_length=16)] | None = None
    """modulesToSave names modules that are trained in full beside the adapters, such as embed_tokens."""
    use_rslora: bool = False
    """useRslora scales by alpha / sqrt(rank) (Kalajdzievski, 2023, arXiv:2312.03732)."""


class SpectrumSpec(ApiModel):
    """Train only the layers with the highest signal-to-noise ratio (Hartford et al., 2024, arXiv:2406.06623)."""

    top_percent: int = Field(default=25, ge=1, le=100)
    """topPercent of the modules of each type that are trained."""


class QuantizationType(StrEnum):
    """Storage types of the frozen base."""

    NF4 = "nf4"
    INT8 = "int8"


class QuantizationSpec(ApiModel):
    """How QLoRA stores the frozen base (Dettmers et al., 2023, arXiv:2305.14314)."""

    type: QuantizationType = QuantizationType.NF4
    """type of the stored weights: nf4 (4 bits) or int8."""
    double_quant: bool = True
    """doubleQuant also quantises the quantisation constants."""


class MethodSpec(ApiModel):
    """What is optimised and which weights move."""

    model_config = ConfigDict(
        json_schema_extra={
            "x-kubernetes-validations": [
                cel(
                    "!has(self.lora) || self.tuning in ['LoRA', 'QLoRA', 'DoRA']",
                    "lora settings need tuning LoRA, QLoRA or DoRA",
                    ".lora",
                ),
                cel(
                    "!has(self.quantization) || self.tuning == 'QLoRA'",
                    "quantization is allowed with tuning QLoRA only",
                    ".quantization",
                ),
                cel(
                    "self.tuning == 'Spectrum' ? has(self.spectrum) : !has(self.spectrum)",
                    "tuning Spectrum needs spectrum, and no other tuning takes it",
                    ".spectrum",
                ),
            ]
        }
    )

    objective: Objective = Objective.SFT
    """objective: SFT (supervised), DPO (preferences), Reward (a reward model), GRPO or RLOO (reinforcement)."""
    tuning: Tuning = Tuning.LORA
    """tuning: LoRA, QLoRA and DoRA train adapters on a frozen base, Full every weight, Spectrum the best layers."""
    lora: LoraSpec | None = None
    """lora settings for LoRA, QLoRA and DoRA; rank 16, alpha 32 on all linear layers when absent."""
    spectrum: SpectrumSpec | None = None
    """spectrum settings; needed by tuning Spectrum."""
    quantization: QuantizationSpec | None = None
    """quantization of the frozen base; for QLoRA only (nf4 with double quantisation when absent)."""
