"""The unified social credit code of organizations in China (GB 32100-2015).

python-stdnum is the reference in tests. It is not used here, because its ``cn.uscc`` rejects every code that begins
with a letter, and such codes are valid: village collectives (N), army units (A), others (Y).
"""

_ALPHABET = "0123456789ABCDEFGHJKLMNPQRTUWXY"
_VALUES = {character: value for value, character in enumerate(_ALPHABET)}
_LENGTH = 18


def check_character(body: str) -> str:
    """Return the 18th character for the first 17, with weights 3^(i-1) mod 31. Raises KeyError on other characters."""
    total = sum(_VALUES[character] * pow(3, i, 31) for i, character in enumerate(body))
    return _ALPHABET[-total % 31]


def is_valid_credit_code(code: str) -> bool:
    """Whether the code has 18 characters of the alphabet and a correct check character."""
    if len(code) != _LENGTH or not all(character in _VALUES for character in code):
        return False
    return check_character(code[:-1]) == code[-1]
