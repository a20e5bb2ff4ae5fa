"""Explanations on the terminal, in the language that was asked for."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated

import typer

from commands.errors import BadInput
from commands.output import say
from policies.explain import Explanation
from policies.phrases import WORDS, Language

LanguageOption = Annotated[str, typer.Option("--lang", help="Language of sentences: en or zh.")]

_TITLES: Mapping[Language, tuple[str, str]] = MappingProxyType(
    {"en": ("why:", "for a permit:"), "zh": ("原因：", "若要获准：")}
)


def parse_language(text: str) -> Language:
    """The language of an option; BadInput otherwise."""
    for language in WORDS:
        if text == language:
            return language
    raise BadInput(f"--lang: expected {' or '.join(WORDS)}, got {text!r:.20}")


def say_explanation(told: Explanation, language: Language) -> None:
    """Why, and what would have to change, a line for each sentence."""
    for title, sentences in zip(_TITLES[language], (told.because, told.changes), strict=True):
        if sentences:
            say(title)
        for sentence in sentences:
            say(f"  - {sentence}")
