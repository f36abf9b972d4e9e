import pytest

from craft_easy.core.events.model.selection import compile_pattern


@pytest.mark.parametrize(
    ("pattern", "event_type"),
    [
        ("payment.completed", "payment.completed"),
        ("*", "payment.completed"),
        ("*", "line one\nline two\n"),
        ("payment.*", "payment.refund.failed"),
        ("payment.*", "payment."),
        ("*.completed", "payment.completed"),
        ("pay?ent.*d", "payment.completed"),
        ("a?c", "a\nc"),
        ("a?*b", "axyb"),
        ("a**b", "ab"),
        ("a.b+c(d)[e]{2}^$|\\", "a.b+c(d)[e]{2}^$|\\"),
        ("nul\0*", "nul\0l"),
        ("größe.*", "größe.geändert"),
    ],
)
def test_a_pattern_matches(pattern: str, event_type: str) -> None:
    assert compile_pattern(pattern).matches(event_type)


@pytest.mark.parametrize(
    ("pattern", "event_type"),
    [
        ("payment.completed", "payment.completed.again"),
        ("payment.completed", "payment-completed"),
        ("payment.*", "payment"),
        ("payment.*", "repayment.done"),
        ("*.completed", "payment.completed\n"),
        ("payment.?", "payment."),
        ("payment.?", "payment.ab"),
        ("a?*b", "ab"),
        ("Payment.*", "payment.done"),
        ("[ab]*", "abc"),
    ],
)
def test_a_pattern_does_not_match(pattern: str, event_type: str) -> None:
    assert not compile_pattern(pattern).matches(event_type)


def test_only_a_pattern_without_wildcards_is_exact() -> None:
    assert compile_pattern("payment.completed").is_exact
    assert not compile_pattern("payment.*").is_exact
    assert not compile_pattern("?").is_exact


def test_the_prefix_is_the_text_before_the_first_wildcard() -> None:
    assert compile_pattern("payment.re*").prefix == "payment.re"
    assert compile_pattern("?ayment").prefix == ""
    assert compile_pattern("payment").prefix == "payment"


def test_an_empty_pattern_is_refused() -> None:
    with pytest.raises(ValueError, match="must not be empty"):
        compile_pattern("")


def test_a_pattern_that_is_not_a_string_is_refused() -> None:
    with pytest.raises(TypeError, match="a pattern must be a string"):
        compile_pattern(7)
