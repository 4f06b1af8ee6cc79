"""The tree of errors that people and programs outside may see.

MatchingError
  InvalidInput          422   the request or the file says something impossible
  Unauthenticated       401   no key, or not a valid one
  Forbidden             403   a valid key whose role may not do this
  NotFound              404
  Conflict              409   true at another time or for another state
    IllegalTransition   409
  Gone                  410   it was here, and was erased for good
  PreconditionFailed    412   somebody else changed the row first
  PayloadTooLarge       413
  Unavailable           503   try again later

A programming error is none of these: it stays a ValueError, KeyError, ... and becomes a 500.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, NamedTuple, Self

Language = Literal["zh", "en"]


class Text(NamedTuple):
    """One message in the two languages that the service speaks."""

    zh: str
    en: str

    def in_language(self, language: Language) -> str:
        return self.zh if language == "zh" else self.en


@dataclass(frozen=True, slots=True)
class FieldError:
    """What is wrong with one place in the input. ``pointer`` is a JSON pointer (RFC 6901) into the body."""

    code: str
    message: Text
    pointer: str


class MatchingError(Exception):
    """Base of all expected errors. ``code`` is stable and for programs; the words are for people."""

    http_status: ClassVar[int]
    title: ClassVar[Text]

    def __init__(self, code: str, detail: Text, *, errors: Sequence[FieldError] = ()) -> None:
        super().__init__(detail.en)
        self.code = code
        self.detail = detail
        self.errors = tuple(errors)

    @classmethod
    def at(cls, pointer: str, code: str, detail: Text) -> Self:
        """An error about one place in the input, named as in ``FieldError``."""
        return cls(code, detail, errors=[FieldError(code, detail, pointer)])


class InvalidInput(MatchingError):
    http_status = 422
    title = Text("输入有误", "Invalid input")


class Unauthenticated(MatchingError):
    http_status = 401
    title = Text("未通过身份验证", "Not authenticated")


class Forbidden(MatchingError):
    http_status = 403
    title = Text("没有权限", "Not permitted")


class NotFound(MatchingError):
    http_status = 404
    title = Text("未找到", "Not found")


class Conflict(MatchingError):
    http_status = 409
    title = Text("与当前状态冲突", "Conflict with the present state")


class IllegalTransition(Conflict):
    """A step that the life of a record does not know; ``legal`` are the states that it may take now."""

    def __init__(self, detail: Text, *, legal: Sequence[str]) -> None:
        super().__init__("illegal_transition", detail)
        self.legal = tuple(legal)


class Gone(MatchingError):
    http_status = 410
    title = Text("已清除", "Erased")


class PreconditionFailed(MatchingError):
    http_status = 412
    title = Text("记录已被他人修改", "Changed by somebody else")


class PayloadTooLarge(MatchingError):
    http_status = 413
    title = Text("请求体过大", "Payload too large")


class Unavailable(MatchingError):
    """``retry_after_s``: in how many seconds it is worth trying again."""

    http_status = 503
    title = Text("服务暂不可用", "Not available now")

    def __init__(self, code: str, detail: Text, *, retry_after_s: int = 1) -> None:
        super().__init__(code, detail)
        self.retry_after_s = retry_after_s


def not_found(what: Text, entity_id: str, *, code: str) -> NotFound:
    """The one wording for a missing record: what it is and which id was asked for."""
    return NotFound(
        code,
        Text(f"{what.zh} {entity_id} 不存在。", f"{what.en} {entity_id} does not exist."),
    )


def names_nothing(what: Text, entity_id: str, *, code: str, pointer: str) -> InvalidInput:
    """The one wording for a body that names a record which is not there."""
    message = Text(f"{what.zh} {entity_id} 不存在。", f"{what.en} {entity_id} does not exist.")
    return InvalidInput.at(pointer, code, message)


def external_id_taken(what: Text, external_id: str, owner_id: str) -> Conflict:
    """The one wording for a POST whose external id exists already within its source."""
    message = Text(
        f"该来源的外部编号 {external_id} 已属于{what.zh} {owner_id}；要更新请用 PATCH 或批量接口。",
        f"External id {external_id} of this source belongs to {what.en.lower()} {owner_id}; to update it use PATCH or "
        "bulk.",
    )
    return Conflict.at("/external_id", "external_id_taken", message)
