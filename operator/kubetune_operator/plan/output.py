"""`spec.output`: the forms of the tuned model."""

from collections.abc import Iterator

from kubetune_api.finetunejob import OutputFormat, OutputSpec
from kubetune_api.method import ADAPTER_TUNINGS, MethodSpec

from .plan import Refusal, bad


def refuse(output: OutputSpec, method: MethodSpec) -> Iterator[Refusal]:
    """Refuse an adapter from a tuning that makes none, and Secrets for nothing."""
    if OutputFormat.ADAPTER in (output.formats or []) and method.tuning not in ADAPTER_TUNINGS:
        yield bad("spec.output.formats", f"tuning {method.tuning} makes no adapter; write Merged")
    if output.credentials_secret is not None and output.uri is None:
        yield bad("spec.output.credentialsSecret", "there is no uri to write to; leave it out")
