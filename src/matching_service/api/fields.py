"""Types of fields in bodies and queries: limits of the contract, and characters that no text may contain."""

import re
from collections.abc import Mapping
from datetime import date, datetime
from typing import Annotated, Any
from unicodedata import category, is_normalized, normalize

from email_validator import EmailNotValidError, validate_email
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints
from pydantic_core import PydanticCustomError

from matching_service.foundation.clock import ID_PATTERN, start_of

_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ufffe\uffff]")  # not allowed in XML, and so in XLSX files
_SHORTEST_REGION = 2
_GROWTH, _GROWTH_FREE = 3, 200
_UNSEEN = {"Cf", "Zs", "Zl", "Zp"}
_UNSEEN_TOO = re.compile("[\u034f\u115f\u1160\u2800\u3164\ufe00-\ufe0f\uffa0]")  # fillers, selectors
_SEEN = frozenset("0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
_SURROGATE = re.compile("[\ud800-\udfff]")


class Body(BaseModel):
    """A request body. Unknown fields are rejected, so that a misspelt name does not lose data."""

    model_config = ConfigDict(extra="forbid")


class Answer(BaseModel):
    """A response body, readable from rows."""

    model_config = ConfigDict(from_attributes=True)


class Origin(Answer):
    """The feed from which a record was imported, and its names and state there."""

    feed: str = Field(description="Our name for the feed of the other service.")
    id: str
    source: str | None = None
    external_id: str | None = None
    status: str | None = Field(default=None, description="State of the demand in the other service.")
    removed: bool = Field(default=False, description="The record was deleted in the other service.")


def _whole_characters(value: Any) -> Any:
    if isinstance(value, str) and _SURROGATE.search(value):
        raise PydanticCustomError("lone_surrogate", "the text contains an unpaired surrogate, which is not a character")
    return value


def _printable(value: str) -> str:
    if _CONTROL.search(value):
        raise PydanticCustomError("control_character", "the text contains a control character such as NUL")
    return value.replace("\r\n", "\n").replace("\r", "\n")


def _foldable(value: str) -> str:
    """Refuse a text that grows when it is folded: one character such as U+FDFA becomes eighteen (Unicode NFKC)."""
    if not is_normalized("NFKC", value) and len(normalize("NFKC", value)) > _GROWTH * len(value) + _GROWTH_FREE:
        raise PydanticCustomError("expanding_text", "the text consists of characters that stand for whole phrases")
    return value


def _visible(value: str) -> str:
    if _is_blank(value):
        raise PydanticCustomError("invisible_text", "the text has no visible character")
    return value


def _is_blank(value: str) -> bool:
    """Whether nothing is to be seen: blanks, and characters of no width such as U+200B."""
    stripped = value.strip()
    return not stripped or (
        stripped[0] not in _SEEN and all(category(c) in _UNSEEN or _UNSEEN_TOO.match(c) for c in stripped)
    )


def _blank_is_none(value: Any) -> Any:
    return None if isinstance(value, str) and _is_blank(value) else value


def _not_bool(value: Any) -> Any:
    if isinstance(value, bool):
        raise PydanticCustomError("not_a_number", "must be a number, not true or false")
    return value


def _half_width(value: Any) -> Any:
    return normalize("NFKC", value) if isinstance(value, str) else value


def _moment(value: Any) -> Any:
    """Read a moment with its offset, or a day, which begins in China."""
    if not isinstance(value, str):
        return value
    try:
        moment = datetime.fromisoformat(value)
        if moment.tzinfo is not None:
            return moment
        return start_of(date.fromisoformat(value))
    except ValueError:
        raise PydanticCustomError("moment", "must be a moment with its offset, or a day") from None


def region_prefix(code: str) -> str:
    """The digits with which all codes of a region begin: 4406 of 440600, which is all of Foshan; 44 of 440000."""
    while len(code) > _SHORTEST_REGION and len(code) % 2 == 0 and code.endswith("00"):
        code = code[:-2]
    return code


def _mailable(address: str) -> str:
    """Check the syntax of an address and return it unchanged. ``.test`` is allowed for trial installations."""
    try:
        validate_email(address, check_deliverability=False, test_environment=True)
    except EmailNotValidError:
        raise PydanticCustomError("email_address", "not a valid e-mail address") from None
    return address


SHOWN_ONCE = "shown once"
"""Marks a field of an answer that is shown only once: a stored copy of the answer has null instead."""
NotBool = BeforeValidator(_not_bool)
Clean = (BeforeValidator(_whole_characters), AfterValidator(_printable), AfterValidator(_foldable))
Seen = AfterValidator(_visible)
Title = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200), *Clean, Seen]
WorkTitle = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500), *Clean, Seen]
# Blank text means no value: null in a body, as for an empty cell of a table; absent in a query.
Blank = BeforeValidator(_blank_is_none)
Text50 = Annotated[Annotated[str, StringConstraints(max_length=50), *Clean] | None, Blank]
Text200 = Annotated[Annotated[str, StringConstraints(max_length=200), *Clean] | None, Blank]
Text500 = Annotated[Annotated[str, StringConstraints(max_length=500), *Clean] | None, Blank]
Text5000 = Annotated[Annotated[str, StringConstraints(max_length=5_000), *Clean] | None, Blank]
Text10000 = Annotated[Annotated[str, StringConstraints(max_length=10_000), *Clean] | None, Blank]
# A phone number is stored as written, because people dial it: at least five digits, optionally an extension.
PHONE = r"^\+?\(?[0-9](?:[ ().-]*[0-9]){4,}[ ().-]*(?:(?:转|[Ee]xt\.?|[xX#]) ?[0-9]{1,6})?$"
EMAIL = r"^[^@\s]+@[^@\s]+\.[^@\s]+$"
Phone = Annotated[
    Annotated[
        str,
        StringConstraints(strip_whitespace=True, max_length=50, pattern=PHONE),
        *Clean,
        BeforeValidator(_half_width),
    ]
    | None,
    Blank,
]
Email = Annotated[
    Annotated[
        str,
        StringConstraints(strip_whitespace=True, max_length=200, pattern=EMAIL),
        *Clean,
        BeforeValidator(_half_width),
        AfterValidator(_mailable),
    ]
    | None,
    Blank,
]
Topic = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=50), *Clean, Seen]
Topics = Annotated[list[Topic], Field(max_length=20)]
ExternalId = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100), *Clean, Seen]
Source = ExternalId
EntityId = Annotated[str, StringConstraints(min_length=1, max_length=36), *Clean]
RowId = Annotated[str, StringConstraints(pattern=ID_PATTERN)]
Region = Annotated[str, StringConstraints(pattern=r"^[0-9]{6}$")]
RegionPrefix = Annotated[str, StringConstraints(pattern=r"^[0-9]{2,6}$"), AfterValidator(region_prefix)]
IN_REGION = "地区: a code with all that lies in it (440600: all of Foshan), or its leading digits."
"""Describes a filter of the type ``RegionPrefix``."""
Year = Annotated[int, Field(ge=1900, le=2100), NotBool]
Moment = Annotated[datetime, BeforeValidator(_moment)]
"""2026-11-30T08:00:00+08:00, or 2026-11-30 for its first moment in China."""
Search = Annotated[str, StringConstraints(min_length=1, max_length=200), *Clean]


class UpsertBody(Body):
    """A body that is stored by (``source``, ``external_id``)."""

    source: Source = "default"
    external_id: ExternalId | None = None

    def sent(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return the values of the fields that were sent. An update does not change other fields."""
        names = set(self.model_fields_set)
        if "organization_external_id" in names:
            names.add("organization_id")
        return {name: value for name, value in values.items() if name in names}

    @property
    def row_id(self) -> str | None:
        """Our id of the row, for items of files. Over HTTP the id is in the path, so that a body has none."""
        return None
