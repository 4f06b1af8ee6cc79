import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stdnum.cn import uscc
from strategies import ANY_TEXT

from matching_service.organizations.credit_code import check_character, is_valid_credit_code

ALPHABET = "0123456789ABCDEFGHJKLMNPQRTUWXY"
BODIES = st.text(ALPHABET, min_size=17, max_size=17)


@pytest.mark.parametrize("code", ["914403001922038216", "9144030071526726XG", "91330100799655058B"])
def test_codes_of_well_known_companies_are_valid(code):
    assert is_valid_credit_code(code)


def test_the_example_of_the_standard_is_valid_and_its_misprint_is_not():
    assert is_valid_credit_code("91350100M000100Y43")
    assert not is_valid_credit_code("91350100M000100Y4Z")


@settings(deadline=None)
@given(BODIES, st.text("0123456789", min_size=8, max_size=8), st.sampled_from(ALPHABET))
def test_python_stdnum_agrees_where_eight_digits_come_first(body, digits, character):
    body = digits + body[8:]
    assert check_character(body) == uscc.calc_check_digit(body)
    for code in (body + check_character(body), body + character):
        assert is_valid_credit_code(code) == uscc.is_valid(code)


@pytest.mark.parametrize("authority", ["A1", "N1", "N2", "N3", "N9", "Y1"])
def test_codes_of_authorities_that_are_letters_are_valid(authority):
    """The army, village collectives and other bodies; python-stdnum 2.2 refuses them."""
    body = f"{authority}440605MF5050505"
    assert check_character(body) == uscc.calc_check_digit(body)
    assert is_valid_credit_code(body + check_character(body))


@settings(deadline=None)
@given(BODIES)
def test_every_body_has_exactly_one_check_character(body):
    assert [character for character in ALPHABET if is_valid_credit_code(body + character)] == [check_character(body)]


@settings(deadline=None)
@given(BODIES, st.integers(0, 17), st.sampled_from(ALPHABET))
def test_any_wrong_character_is_noticed(body, place, character):
    code = body + check_character(body)
    changed = code[:place] + character + code[place + 1 :]
    assert is_valid_credit_code(changed) == (changed == code)


@settings(deadline=None)
@given(BODIES, st.integers(0, 16))
def test_two_neighbours_in_the_wrong_order_are_noticed(body, place):
    code = body + check_character(body)
    swapped = code[:place] + code[place + 1] + code[place] + code[place + 2 :]
    assert is_valid_credit_code(swapped) == (swapped == code)


@settings(deadline=None)
@given(BODIES, ANY_TEXT)
def test_what_has_another_length_or_alphabet_is_not_valid(body, text):
    code = body + check_character(body)
    if text:
        assert not is_valid_credit_code(code + text)
        assert not is_valid_credit_code(text + code)
    assert not is_valid_credit_code(code[:-1])
    assert is_valid_credit_code(text) is False or (len(text) == 18 and set(text) <= set(ALPHABET))


@pytest.mark.parametrize(
    "code",
    [
        "",
        "91350100m000100y43",
        " 91350100M000100Y43",
        "91350100M000100Y43\n",
        "９１３５０１００Ｍ０００１００Ｙ４３",
        "9135010OM000100Y43",
        "91350100I000100Y43",
        "91350100S000100Y43",
        "91350100V000100Y43",
        "91350100Z000100Y43",
        "91350100M000100Y4",
        "91350100M000100Y433",
        "١١٣٥٠١٠٠M٠٠٠١٠٠Y٤٣",
    ],
)
def test_near_misses_are_not_valid(code):
    assert not is_valid_credit_code(code)


@pytest.mark.parametrize("character", ["I", "O", "S", "V", "Z", "a", "-", "水"])
def test_a_foreign_character_has_no_value(character):
    with pytest.raises(KeyError):
        check_character("9135010000010000" + character)
