"""Numbers as people read them."""

import math


def figure(value: float) -> str:
    """Return three significant digits, without an exponent where that reads better."""
    if not math.isfinite(value):
        return "unknown" if math.isnan(value) else ("-∞" if value < 0 else "∞")
    if value == 0 or 1e-3 <= abs(value) < 1e6:
        digits = 2 if value == 0 else max(0, min(4, 2 - math.floor(math.log10(abs(value)))))
        return f"{value:.{digits}f}"
    return f"{value:.2e}"


def signed(value: float) -> str:
    """Return `figure` with its sign."""
    return figure(value) if value < 0 or not math.isfinite(value) else f"+{figure(value)}"


def p_text(p_value: float) -> str:
    """Return a p-value such as `p = 0.03` or `p < 0.001`."""
    return "p < 0.001" if p_value < 0.001 else f"p = {p_value:.2g}"


def level_text(alpha: float) -> str:
    """Return the confidence level such as `95 %`."""
    return f"{100 * (1 - alpha):.4g} %"


def joined(parts: list[str]) -> str:
    """Return `a`, `a and b` or `a, b and c`."""
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)
