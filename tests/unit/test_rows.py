import pytest

from craft_events_cli.output.rows import csv_cell


@pytest.mark.parametrize("sign", ["=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20"])
def test_a_text_that_a_spreadsheet_takes_for_a_formula_gets_an_apostrophe(sign: str) -> None:
    assert csv_cell(f"{sign}cmd") == f"'{sign}cmd"


def test_a_text_is_one_cell_where_the_semicolon_separates_cells() -> None:
    assert csv_cell("acme;=cmd") == '"acme;=cmd"'
    assert csv_cell("acme") == "acme"


def test_a_negative_number_stays_a_number() -> None:
    assert csv_cell(-1) == "-1"
