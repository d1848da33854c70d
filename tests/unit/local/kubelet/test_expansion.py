"""References in commands and values."""

import pytest

from kubetune_local.kubelet.expansion import expand


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$(NAME)", "value"),
        ("a$(NAME)b$(NAME)", "avaluebvalue"),
        ("$$(NAME)", "$(NAME)"),
        ("$$$(NAME)", "$value"),
        ("$(MISSING)", "$(MISSING)"),
        ("$NAME ${NAME}", "$NAME ${NAME}"),
        ("$(NAME", "$(NAME"),
        ("5$", "5$"),
        ("$()", "$()"),
    ],
)
def test_expands_as_a_kubelet_does(text: str, expected: str) -> None:
    assert expand(text, {"NAME": "value"}) == expected
