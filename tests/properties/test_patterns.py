"""The regular expression of a pattern, compared with the simplest matcher."""

import re

from hypothesis import example, given
from hypothesis import strategies as st

from craft_easy.core.events.model.selection import compile_pattern

ALPHABET = "ab.*?\n\\[$^"
types = st.text(alphabet=ALPHABET, max_size=8)
patterns = st.text(alphabet=ALPHABET, min_size=1, max_size=6)


def reads(pattern: str, text: str) -> bool:
    """Match by definition, one character at a time."""
    if not pattern:
        return not text
    if pattern[0] == "*":
        return any(reads(pattern[1:], text[start:]) for start in range(len(text) + 1))
    return bool(text) and pattern[0] in ("?", text[0]) and reads(pattern[1:], text[1:])


@given(patterns, types)
@example("a", "a\n")
@example("*\n", "\n\n")
def test_a_pattern_means_what_its_characters_say(pattern: str, text: str) -> None:
    compiled = compile_pattern(pattern)

    assert compiled.matches(text) is reads(pattern, text)
    assert (re.search(compiled.regex, text) is not None) is reads(pattern, text)


@given(patterns, types)
def test_a_matching_type_starts_with_the_prefix(pattern: str, text: str) -> None:
    compiled = compile_pattern(pattern)

    assert text.startswith(compiled.prefix) or not compiled.matches(text)


@given(st.text(min_size=1).filter(lambda text: not {"*", "?"} & set(text)))
def test_a_text_without_wildcards_matches_itself(text: str) -> None:
    compiled = compile_pattern(text)

    assert compiled.is_exact
    assert re.search(compiled.regex, text)
