"""Errors as problem+json (RFC 9457), in Chinese or English according to ``Accept-Language``."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from matching_service.api.fields import EMAIL, PHONE
from matching_service.foundation.errors import (
    Bilingual,
    FieldError,
    IllegalTransition,
    InvalidInput,
    Language,
    MatchingError,
    RetryLater,
)
from matching_service.foundation.logs import request_id

MEDIA_TYPE = "application/problem+json"
_RETRY_AFTER = {"description": "Seconds to wait before trying again.", "schema": {"type": "integer"}}


class ProblemError(BaseModel):
    code: str = Field(examples=["string_too_long"])
    message: str = Field(examples=["最多 200 个字符。"])
    pointer: str = Field(description="JSON pointer into the body, or the name of a parameter.", examples=["/title"])


class Problem(BaseModel):
    """An error. ``code`` is stable. The texts follow ``Accept-Language``: zh by default, or en."""

    type: str = Field(examples=["urn:matching-service:problem:invalid_body"])
    title: str = Field(examples=["输入有误"])
    status: int = Field(examples=[422])
    detail: str = Field(examples=["请求体有 1 处错误。"])
    code: str = Field(examples=["invalid_body"])
    request_id: str | None = Field(default=None, examples=["01937a54-9c1c-7d3a-8c0e-2b1f6d1c4e11"])
    errors: list[ProblemError] = Field(default_factory=list)
    legal: list[str] | None = Field(
        default=None,
        description="The possible next states; only for `illegal_transition`.",
        examples=[["matching"]],
    )


def problem_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the ``responses=`` of a route that may answer with these statuses."""
    return {
        status: {
            "description": _STATUS_TITLES[status].en,
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        | ({"headers": {"Retry-After": _RETRY_AFTER}} if status in {429, 503} else {})
        for status in statuses
    }


def problem_schemas() -> dict[str, Any]:
    """Return the schemas that ``problem_responses`` refers to, for the components of the OpenAPI document."""
    schema = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    return {**schema.pop("$defs"), "Problem": schema}


def add_problem_handlers(app: FastAPI) -> None:
    """Add one handler per base class of errors; Starlette finds the handler of a subclass itself."""
    app.add_exception_handler(MatchingError, _on_matching_error)
    app.add_exception_handler(RequestValidationError, _on_validation_error)
    app.add_exception_handler(HTTPException, _on_http_exception)


def language_of(accept_language: str | None) -> Language:
    """Return the language of the answer: English if its quality value is higher than that of Chinese."""
    quality = {"zh": 0.0, "en": 0.0}
    for part in (accept_language or "").lower().split(","):
        tag, _, parameters = part.strip().partition(";")
        match = re.search(r"q=([01](?:\.\d{0,3})?)", parameters)
        primary = tag.split("-")[0]
        if primary in quality:
            quality[primary] = max(quality[primary], float(match.group(1)) if match else 1.0)
    return "en" if quality["en"] > quality["zh"] else "zh"


def problem(
    *,
    status: int,
    title: Bilingual,
    code: str,
    detail: Bilingual,
    language: Language,
    errors: Sequence[FieldError] = (),
    legal: Sequence[str] | None = None,
) -> JSONResponse:
    body = Problem(
        type=f"urn:matching-service:problem:{code}",
        title=title.in_language(language),
        status=status,
        detail=detail.in_language(language),
        code=code,
        request_id=request_id.get(),
        errors=problem_errors(errors, language),
        legal=list(legal) if legal is not None else None,
    )
    headers: dict[str, str] = {"Content-Language": language}
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    content = body.model_dump(exclude=None if legal is not None else {"legal"})
    return JSONResponse(content, status_code=status, media_type=MEDIA_TYPE, headers=headers)


def error_problem(error: MatchingError, language: Language) -> JSONResponse:
    response = problem(
        status=error.http_status,
        title=error.title,
        code=error.code,
        detail=error.detail,
        language=language,
        errors=error.errors,
        legal=error.legal if isinstance(error, IllegalTransition) else None,
    )
    if isinstance(error, RetryLater):
        response.headers["Retry-After"] = str(error.retry_after_s)
    return response


def problem_errors(errors: Iterable[FieldError], language: Language) -> list[ProblemError]:
    return [
        ProblemError(code=error.code, message=error.message.in_language(language), pointer=error.pointer)
        for error in errors
    ]


def internal_problem(language: Language) -> JSONResponse:
    """Return the answer to an unexpected error. It has no details, only the request id to find it in the log."""
    return problem(status=500, title=_STATUS_TITLES[500], code="internal_error", detail=_INTERNAL, language=language)


def field_errors(errors: Sequence[Mapping[str, Any]], *, skip: int = 0) -> list[FieldError]:
    """Convert pydantic's errors, the first ``_MAX_TOLD`` of them and one that counts the others.

    skip : number of leading parts of the location that do not belong to the field.
    """
    told = [
        FieldError(error["type"], _message(error), "".join(f"/{_escape(part)}" for part in _path(error)[skip:]))
        for error in errors[:_MAX_TOLD]
    ]
    if (n_others := len(errors) - len(told)) > 0:
        others = Bilingual(f"另有 {n_others} 处错误未列出。", f"{n_others} more errors are not listed.")
        told.append(FieldError("more_errors", others, ""))
    return told


async def _on_matching_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, MatchingError)  # noqa: S101  # registered for this class
    return error_problem(error, language_of(request.headers.get("accept-language")))


async def _on_validation_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)  # noqa: S101
    language = language_of(request.headers.get("accept-language"))
    details = error.errors()
    if any(detail["type"] == "json_invalid" for detail in details):
        return problem(
            status=400, title=_STATUS_TITLES[400], code="invalid_json", detail=_NOT_JSON, language=language,
            errors=[FieldError("json_invalid", _NOT_JSON, "")],
        )  # fmt: skip
    if any(detail["loc"] == ("body",) for detail in details) and not is_json(request.headers):
        return problem(
            status=415,
            title=_STATUS_TITLES[415],
            code="unsupported_media_type",
            detail=_NOT_JSON_TYPE,
            language=language,
        )
    in_body = [detail for detail in details if detail["loc"][0] == "body"]
    in_parameters = [detail for detail in details if detail["loc"][0] != "body"]
    errors = field_errors(in_body, skip=1)
    errors += [
        FieldError(detail["type"], _message(detail), str(detail["loc"][1]))  # of a list only the name
        for detail in in_parameters
    ]
    code = "invalid_body" if in_body else "invalid_parameter"
    return error_problem(InvalidInput(code, count_of_errors(len(details)), errors=errors), language)


def is_json(headers: Mapping[str, str]) -> bool:
    """Whether the headers announce a body in JSON."""
    media_type = headers.get("content-type", "").split(";")[0].strip().lower()
    return media_type == "application/json" or (media_type.startswith("application/") and media_type.endswith("+json"))


async def _on_http_exception(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)  # noqa: S101
    title = _STATUS_TITLES.get(error.status_code, Bilingual("请求无法处理", "The request cannot be processed"))
    codes = {400: "invalid_json", 404: "no_such_path", 405: "method_not_allowed"}
    detail = {400: _NOT_JSON, 404: _NO_PATH, 405: _NO_METHOD}.get(error.status_code, title)
    response = problem(
        status=error.status_code,
        title=title,
        code=codes.get(error.status_code, "http_error"),
        detail=detail,
        language=language_of(request.headers.get("accept-language")),
        errors=[FieldError("json_invalid", _NOT_JSON, "")] if error.status_code == 400 else (),
    )
    response.headers.update(error.headers or {})
    return response


def count_of_errors(n: int) -> Bilingual:
    return Bilingual(f"输入有 {n} 处错误，见 errors。", f"{n} error{'s' if n != 1 else ''} in the input; see errors.")


def _message(error: Mapping[str, Any]) -> Bilingual:
    """Return pydantic's message in both languages. Types without a translation keep the English message in both."""
    template = _MESSAGES.get(error["type"])
    english = str(error["msg"])
    if template is None:
        return Bilingual(english, english)
    if error["type"] == "string_pattern_mismatch":
        template = _PATTERNS.get(error["ctx"]["pattern"], template)
    context = {
        name: str(value).replace(" or ", "、").replace(", ", "、") for name, value in (error.get("ctx") or {}).items()
    }
    return Bilingual(template.format_map(context), english)


def _path(error: Mapping[str, Any]) -> Sequence[object]:
    """Return the location without the extra part by which pydantic marks an invalid key of a mapping."""
    location: Sequence[object] = error["loc"]
    return location[:-1] if location and location[-1] == "[key]" else location


def _escape(part: object) -> str:
    """Escape a part of a JSON pointer (RFC 6901). Unpaired surrogates in names are replaced."""
    text = str(part).replace("~", "~0").replace("/", "~1")
    return text.encode("utf-8", "replace").decode("utf-8")


_MAX_TOLD = 50

_NOT_JSON = Bilingual(
    "请求体不是有效的 JSON（UTF-8）。请检查引号、逗号与编码。",
    "The body is not valid JSON in UTF-8; check quotes, commas and encoding.",
)
_NOT_JSON_TYPE = Bilingual(
    "请求体须为 JSON，并带请求头 Content-Type: application/json。",
    "The body must be JSON, with the header Content-Type: application/json.",
)
_NO_PATH = Bilingual("没有这个地址；接口说明见 /docs。", "There is no such path; see /docs.")
_NO_METHOD = Bilingual("该地址不支持此方法。", "The path does not support this method.")
_INTERNAL = Bilingual(
    "服务内部错误，已记入日志；请把 request_id 告诉管理员。",
    "An internal error occurred and was logged. Give the request_id to the administrator.",
)
_STATUS_TITLES = {
    400: Bilingual("请求格式有误", "Malformed request"),
    401: Bilingual("未通过身份验证", "Not authenticated"),
    403: Bilingual("没有权限", "Not permitted"),
    404: Bilingual("未找到", "Not found"),
    405: Bilingual("不支持的方法", "Method not allowed"),
    409: Bilingual("与当前状态冲突", "Conflict with the current state"),
    410: Bilingual("已清除", "Erased"),
    412: Bilingual("记录已被他人修改", "Changed by somebody else"),
    408: Bilingual("请求超时", "Request timeout"),
    413: Bilingual("请求体过大", "Payload too large"),
    415: Bilingual("不支持的内容类型", "Unsupported media type"),
    422: Bilingual("输入有误", "Invalid input"),
    429: Bilingual("请求过多", "Too many requests"),
    500: Bilingual("服务内部错误", "Internal error"),
    503: Bilingual("服务暂不可用", "Temporarily unavailable"),
}
_PATTERNS = {
    r"^[0-9]{6}$": "应为 6 位数字的地区代码，如 440605。",
    r"^[0-9]{2,6}$": "应为地区代码的前 2 至 6 位数字，如 4406。",
    r"^[A-Z]{2}$": "应为两位大写字母的国家代码，如 CN。",
    r"^[a-z]{2,3}$": "应为两三位小写字母的语言代码，如 zh。",
    PHONE: "应为电话号码：至少 5 位数字，可含空格、连字符、括号和分机，如 13900001234 或 0757-83338888转801。",
    EMAIL: "应为电子邮箱，如 name@example.org。",
    r"^[A-T][0-9]{0,4}$": "应为行业代码：一个字母（A 至 T）加至多 4 位数字，如 C3453。",
}
"""Patterns in words. A pattern that is not listed is shown as it is."""
_MESSAGES = {
    "missing": "必填项缺失。",
    "extra_forbidden": "没有这个字段，请检查拼写。",
    "string_type": "应为文本。",
    "string_unicode": "文本含有无效字符（半个代理对）。",
    "string_too_long": "最多 {max_length} 个字符。",
    "string_too_short": "不能为空，至少 {min_length} 个字符。",
    "string_pattern_mismatch": "格式不符，应匹配 {pattern}。",
    "int_type": "应为整数。",
    "int_parsing": "应为整数。",
    "int_parsing_size": "整数过大。",
    "int_from_float": "应为整数，不能带小数。",
    "float_type": "应为数字。",
    "float_parsing": "应为数字。",
    "finite_number": "应为有限的数字。",
    "bool_type": "应为 true 或 false。",
    "bool_parsing": "应为 true 或 false。",
    "greater_than": "应大于 {gt}。",
    "greater_than_equal": "不能小于 {ge}。",
    "less_than": "应小于 {lt}。",
    "less_than_equal": "不能大于 {le}。",
    "list_type": "应为列表。",
    "too_long": "最多 {max_length} 项，现有 {actual_length} 项。",
    "too_short": "至少 {min_length} 项，现有 {actual_length} 项。",
    "dict_type": "应为对象。",
    "model_type": "应为对象。",
    "model_attributes_type": "应为对象。",
    "literal_error": "取值不在允许范围内，应为 {expected}。",
    "enum": "取值不在允许范围内，应为 {expected}。",
    "timezone_aware": "应带时区，如 2026-11-23T08:00:00Z 或 2026-11-23T16:00:00%2B08:00。",
    "datetime_from_date_parsing": "应为带时区的时刻，如 2026-11-23T08:00:00Z。",
    "datetime_parsing": "应为带时区的时刻，如 2026-11-23T08:00:00Z。",
    "date_type": "应为日期，如 2026-11-23。",
    "date_parsing": "应为日期，如 2026-11-23。",
    "date_from_datetime_inexact": "应为日期，不带时刻，如 2026-11-23。",
    "date_from_datetime_parsing": "应为日期，如 2026-11-23。",
    "moment": "应为带时区的时刻，如 2026-11-30T08:00:00+08:00，或日期，如 2026-11-30。",
    "lone_surrogate": "文本含有无效字符（半个代理对）。",
    "control_character": "文本含有控制字符（如 NUL），请删除。",
    "invisible_text": "没有可见的文字（只有空白或零宽字符）。",
    "expanding_text": "含有大量代表整个短语的特殊字符（如 U+FDFA），请改用普通文字。",
    "email_address": "应为电子邮箱，如 name@example.org；前后不能有标点。",
    "credit_code": "统一社会信用代码无效：应为 18 位且校验位正确。",
    "not_a_number": "应为数字，不能是 true 或 false。",
    "points_missing": "评分表不完整，缺少：{missing}。",
    "too_many_points": "{criterion} 最多 {most} 分。",
    "unknown_event": "没有这种事件；可用：{known}。",
    "source_needed": "audience 为 own 时须写明来源 source，其他情形不写。",
    "one_of": "需要且只能给出 demand_id 与 query 之一。",
    "one_target": "需要且只能给出 profile_id 与 organization_id 之一。",
}
