"""What a refusal's text may hold, whatever was in the document."""

from __future__ import annotations

import pytest

from policies.asking import parse_asking
from policies.canonical import parse_json
from policies.errors import DocumentError


@pytest.mark.parametrize(
    ("key", "shown"),
    [
        ("\\u001b[31m", r"$.\x1b[31m"),
        ("\\u202eevil", r"$.\u202eevil"),
        ("\\u0430nd", r"$.\u0430nd"),
        ("\\u200b", r"$.\u200b"),
    ],
)
def test_a_path_shows_keys_so_that_they_cannot_mislead(key: str, shown: str) -> None:
    with pytest.raises(DocumentError) as caught:
        parse_json(b'{"%s": [9007199254740992]}' % key.encode(), max_bytes=100)
    assert caught.value.where == f"{shown}[0]"
    assert str(caught.value).isprintable()


def test_values_are_shown_with_what_is_visible_of_them() -> None:
    error = DocumentError("$.a", "a name\n", "数据\x07")
    assert str(error) == r"$.a: expected a name\n, got 数据\x07"
    assert (error.expected, error.got) == (r"a name\n", r"数据\x07")


@pytest.mark.parametrize("done", ["1", "0", "2", "[]", '"yes"'])
def test_a_duty_is_done_or_not_in_one_spelling(done: str) -> None:
    text = (
        '{"assignee": "a", "action": "train", "target": "t", "at": "2026-01-01T00:00:00Z", '
        f'"context": {{"inform": {done}}}}}'
    )
    with pytest.raises(DocumentError, match=r"\$\.context\.inform"):
        parse_asking(text.encode())
