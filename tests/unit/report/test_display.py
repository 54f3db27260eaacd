import pytest

from sparta_ray.report.display import decimals_for, number


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (12345.678, "12\u2009346"),
        (-3.14159, "\u22123.14"),
        (0.0123, "0.0123"),
        (9.5e-38, "9.50\u2009×\u200910⁻³⁸"),
        (0.0, "0"),
    ],
)
def test_a_number_is_shown_with_its_useful_digits(value, text):
    assert number(value, decimals_for([value])) == text


def test_numbers_of_one_row_keep_their_power():
    decimals = decimals_for([9.5e-38])
    assert number(1.25e-37, decimals) == "1.25\u2009×\u200910⁻³⁷"
    assert number(0.0, decimals) == "0.000"
