"""The errors that are reported to users and API clients.

MatchingError
  InvalidInput          422   the request or the file contains an invalid value
  Unauthenticated       401   the API key is missing or not valid
  Forbidden             403   the key is valid, but its role does not permit the operation
  NotFound              404   the record does not exist
  Conflict              409   the present state of the record does not allow the request
    IllegalTransition   409   the state machine has no such transition
  Gone                  410   the record was erased permanently
  PreconditionFailed    412   another client changed the row in the meantime
  RequestTooSlow        408   the request body does not arrive in time
  PayloadTooLarge       413   the request body exceeds the size limit
  RetryLater                  the client should try again later
    TooManyRequests     429   this caller must wait
    Unavailable         503   the service cannot answer at present

Programming errors are not part of this tree. They stay ValueError, KeyError and so on, and become a 500.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, NamedTuple, Self

Language = Literal["zh", "en"]


class Bilingual(NamedTuple):
    """A message in Chinese and English."""

    zh: str
    en: str

    def in_language(self, language: Language) -> str:
        return self.zh if language == "zh" else self.en


@dataclass(frozen=True, slots=True)
class FieldError:
    """An error in one field of the input. ``pointer`` is a JSON pointer (RFC 6901) into the body."""

    code: str
    message: Bilingual
    pointer: str


class MatchingError(Exception):
    """Base class of all expected errors. Programs rely on ``code``, which is stable; ``detail`` is for people."""

    http_status: ClassVar[int]
    title: ClassVar[Bilingual]

    def __init__(self, code: str, detail: Bilingual, *, errors: Sequence[FieldError] = ()) -> None:
        super().__init__(detail.en)
        self.code = code
        self.detail = detail
        self.errors = tuple(errors)

    @classmethod
    def at(cls, pointer: str, code: str, detail: Bilingual) -> Self:
        """Create an error with one ``FieldError`` at that JSON pointer."""
        return cls(code, detail, errors=[FieldError(code, detail, pointer)])


class InvalidInput(MatchingError):
    http_status = 422
    title = Bilingual("输入有误", "Invalid input")


class Unauthenticated(MatchingError):
    http_status = 401
    title = Bilingual("未通过身份验证", "Not authenticated")


class Forbidden(MatchingError):
    http_status = 403
    title = Bilingual("没有权限", "Not permitted")


class NotFound(MatchingError):
    http_status = 404
    title = Bilingual("未找到", "Not found")


class Conflict(MatchingError):
    http_status = 409
    title = Bilingual("与当前状态冲突", "Conflict with the present state")


class IllegalTransition(Conflict):
    """The record cannot move to the requested state. ``legal`` holds the states that it can move to now."""

    def __init__(self, detail: Bilingual, *, legal: Sequence[str]) -> None:
        super().__init__("illegal_transition", detail)
        self.legal = tuple(legal)


class Gone(MatchingError):
    http_status = 410
    title = Bilingual("已清除", "Erased")


class PreconditionFailed(MatchingError):
    http_status = 412
    title = Bilingual("记录已被他人修改", "Changed by somebody else")


class PayloadTooLarge(MatchingError):
    http_status = 413
    title = Bilingual("请求体过大", "Payload too large")


class RequestTooSlow(MatchingError):
    http_status = 408
    title = Bilingual("请求超时", "Request timeout")


class RetryLater(MatchingError):
    """Clients should try again after ``retry_after_s`` seconds."""

    def __init__(self, code: str, detail: Bilingual, *, retry_after_s: int = 1) -> None:
        super().__init__(code, detail)
        self.retry_after_s = retry_after_s


class TooManyRequests(RetryLater):
    http_status = 429
    title = Bilingual("请求过多", "Too many requests")


class Unavailable(RetryLater):
    """The service cannot answer at present."""

    http_status = 503
    title = Bilingual("服务暂不可用", "Not available now")


def not_found(what: Bilingual, entity_id: str, *, code: str) -> NotFound:
    """Return the error for a missing record. ``what`` names the kind of record."""
    return NotFound(
        code,
        Bilingual(f"{what.zh} {entity_id} 不存在。", f"{what.en} {entity_id} does not exist."),
    )


def names_nothing(what: Bilingual, entity_id: str, *, code: str, pointer: str) -> InvalidInput:
    """Return the error for a request body that refers to a missing record."""
    message = Bilingual(f"{what.zh} {entity_id} 不存在。", f"{what.en} {entity_id} does not exist.")
    return InvalidInput.at(pointer, code, message)


def external_id_taken(what: Bilingual, external_id: str, owner_id: str) -> Conflict:
    """Return the error for a POST whose external id is already used within its source."""
    message = Bilingual(
        f"该来源的外部编号 {external_id} 已属于{what.zh} {owner_id}；要更新请用 PATCH 或批量接口。",
        f"External id {external_id} of this source belongs to {what.en.lower()} {owner_id}; to update it use PATCH or "
        "bulk.",
    )
    return Conflict.at("/external_id", "external_id_taken", message)
