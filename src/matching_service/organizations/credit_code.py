"""The unified social credit code of organizations in China (GB 32100-2015).

python-stdnum is the reference in tests. Its ``cn.uscc`` refuses every code that begins with a letter, and those belong
to village collectives (N), units of the army (A) and others (Y), so it does not decide here.
"""

_ALPHABET = "0123456789ABCDEFGHJKLMNPQRTUWXY"
_VALUES = {character: value for value, character in enumerate(_ALPHABET)}
_LENGTH = 18


def check_character(body: str) -> str:
    """The 18th character for the first 17: weights 3^(i-1) mod 31; raises KeyError on a foreign character."""
    total = sum(_VALUES[character] * pow(3, i, 31) for i, character in enumerate(body))
    return _ALPHABET[-total % 31]


def is_valid_credit_code(code: str) -> bool:
    """True for 18 characters of the alphabet whose last one is right."""
    if len(code) != _LENGTH or not all(character in _VALUES for character in code):
        return False
    return check_character(code[:-1]) == code[-1]
