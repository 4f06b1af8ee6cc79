"""Whatever is sent, the answer is an explained refusal with a stable code and a place, never a fault of ours."""

import json
from typing import Any

import httpx
import pytest
from conftest import Server
from http_checks import UNKNOWN_ID, assert_problem, create, in_database, is_chinese, match
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select

from matching_service.store.demands import DemandRow

DEMANDS, PROFILES, MATCHES, ORGANIZATIONS = "/v1/demands", "/v1/profiles", "/v1/matches", "/v1/organizations"
JSON = {"content-type": "application/json"}
N_DIGITS = 400

# Each case: path, the very bytes of the body, the code of the one error, where it points.
INVALID_BODIES: dict[str, tuple[str, str, str, str]] = {
    "no body": (DEMANDS, "", "missing", ""),
    "null": (DEMANDS, "null", "model_attributes_type", ""),
    "a list": (DEMANDS, "[]", "model_attributes_type", ""),
    "a text": (DEMANDS, '"title"', "model_attributes_type", ""),
    "wrong type": (DEMANDS, '{"title": 5}', "string_type", "/title"),
    "list of the wrong type": (DEMANDS, '{"title": "a", "keywords": "泵"}', "list_type", "/keywords"),
    "wrong type in a list": (DEMANDS, '{"title": "a", "keywords": ["泵", 5]}', "string_type", "/keywords/1"),
    "missing field": (DEMANDS, '{"problem": "柔轮开裂"}', "missing", "/title"),
    "missing kind": (PROFILES, '{"name": "卓砺川"}', "missing", "/kind"),
    "unknown field": (DEMANDS, '{"title": "a", "titel": "b"}', "extra_forbidden", "/titel"),
    "unknown field with a slash": (DEMANDS, '{"title": "a", "a/b~c": 1}', "extra_forbidden", "/a~1b~0c"),
    "unknown field in a work": (
        PROFILES, '{"kind": "expert", "name": "a", "works": [{"title": "b", "jahr": 1}]}', "extra_forbidden",
        "/works/0/jahr",
    ),
    "title too long": (DEMANDS, json.dumps({"title": "长" * 201}), "string_too_long", "/title"),
    "problem too long": (DEMANDS, json.dumps({"title": "a", "problem": "长" * 5_001}), "string_too_long", "/problem"),
    "summary too long": (
        PROFILES, json.dumps({"kind": "expert", "name": "a", "summary": "长" * 10_001}), "string_too_long", "/summary"
    ),
    "keyword too long": (
        DEMANDS, json.dumps({"title": "a", "keywords": ["长" * 51]}), "string_too_long", "/keywords/0"
    ),
    "too many keywords": (DEMANDS, json.dumps({"title": "a", "keywords": ["泵"] * 21}), "too_long", "/keywords"),
    "too many works": (
        PROFILES, json.dumps({"kind": "expert", "name": "a", "works": [{"title": "b"}] * 201}), "too_long", "/works"
    ),
    "work title too long": (
        PROFILES, json.dumps({"kind": "expert", "name": "a", "works": [{"title": "长" * 501}]}), "string_too_long",
        "/works/0/title",
    ),
    "abstract too long": (
        PROFILES, json.dumps({"kind": "expert", "name": "a", "works": [{"title": "b", "abstract": "长" * 10_001}]}),
        "string_too_long", "/works/0/abstract",
    ),
    "external id too long": (
        DEMANDS, json.dumps({"title": "a", "external_id": "x" * 101}), "string_too_long", "/external_id"
    ),
    "source too long": (DEMANDS, json.dumps({"title": "a", "source": "x" * 101}), "string_too_long", "/source"),
    "query too long": (
        MATCHES, json.dumps({"query": {"title": "长" * 201}}), "string_too_long", "/query/title"
    ),
    "empty title": (DEMANDS, '{"title": ""}', "string_too_short", "/title"),
    "title of blanks": (DEMANDS, '{"title": " \\u3000\\n"}', "string_too_short", "/title"),
    "empty keyword": (DEMANDS, '{"title": "a", "keywords": [""]}', "string_too_short", "/keywords/0"),
    "half a surrogate pair": (DEMANDS, '{"title": "a\\ud800"}', "lone_surrogate", "/title"),
    "half a pair in a list": (DEMANDS, '{"title": "a", "must_have": ["\\udfff"]}', "lone_surrogate", "/must_have/0"),
    "half a pair in a work": (
        PROFILES, '{"kind": "expert", "name": "a", "works": [{"title": "\\ud83d"}]}', "lone_surrogate",
        "/works/0/title",
    ),
    "half a pair in a choice": (PROFILES, '{"kind": "\\ud800", "name": "a"}', "string_unicode", "/kind"),
    "half a pair in a number": (DEMANDS, '{"title": "a", "funding_wan": "\\ud800"}', "string_unicode", "/funding_wan"),
    "half a pair in a date": (
        PROFILES, '{"kind": "expert", "name": "a", "available_from": "\\ud800"}', "string_unicode", "/available_from"
    ),
    "half a pair in an id": (MATCHES, '{"demand_id": "\\ud800"}', "lone_surrogate", "/demand_id"),
    "half a pair in a name of a field": (DEMANDS, '{"title": "a", "\\ud800": 1}', "string_unicode", ""),
    "NUL": (DEMANDS, '{"title": "a\\u0000"}', "control_character", "/title"),
    "a title of no width": (DEMANDS, '{"title": "\\u200b\\u2060\\ufeff"}', "invisible_text", "/title"),
    "a title of fillers": (DEMANDS, '{"title": "\\u3164\\u2800\\ufe0f"}', "invisible_text", "/title"),
    "a keyword of no width": (DEMANDS, '{"title": "a", "keywords": ["\\u00ad"]}', "invisible_text", "/keywords/0"),
    "an external id of no width": (DEMANDS, '{"title": "a", "external_id": "\\u202e"}', "invisible_text", "/external_id"),
    "a text that grows": (DEMANDS, '{"title": "a", "problem": "' + "\ufdfa" * 5_000 + '"}', "expanding_text", "/problem"),
    "NUL in an external id": (DEMANDS, '{"title": "a", "external_id": "\\u0000"}', "control_character", "/external_id"),
    "NUL in an id": (MATCHES, '{"demand_id": "\\u0000"}', "control_character", "/demand_id"),
    "NUL in a candidate": (
        MATCHES, '{"query": {"title": "a"}, "candidates": ["\\u0000"]}', "control_character", "/candidates/0"
    ),
    "nested too deep for the field": (
        DEMANDS, '{"title": ' + "[" * 900 + "]" * 900 + "}", "string_type", "/title"
    ),
    "NaN": (DEMANDS, '{"title": "a", "funding_wan": NaN}', "finite_number", "/funding_wan"),
    "minus infinity": (DEMANDS, '{"title": "a", "funding_wan": -Infinity}', "finite_number", "/funding_wan"),
    "1e999": (DEMANDS, '{"title": "a", "funding_wan": 1e999}', "finite_number", "/funding_wan"),
    "NaN for a whole number": (DEMANDS, '{"title": "a", "start_year": NaN}', "finite_number", "/start_year"),
    "NaN as a weight": (
        MATCHES, '{"query": {"title": "a"}, "weights": {"lexical": NaN}}', "finite_number", "/weights/lexical"
    ),
    "huge integer": (
        DEMANDS, f'{{"title": "a", "start_year": {"9" * N_DIGITS}}}', "less_than_equal", "/start_year"
    ),
    "huge integer for a number": (
        DEMANDS, f'{{"title": "a", "funding_wan": {"9" * N_DIGITS}}}', "float_type", "/funding_wan"
    ),
    "true for a number": (PROFILES, '{"kind": "expert", "name": "a", "capacity": true}', "not_a_number", "/capacity"),
    "negative funding": (DEMANDS, '{"title": "a", "funding_wan": -1}', "greater_than_equal", "/funding_wan"),
    "half a year": (DEMANDS, '{"title": "a", "start_year": 2026.5}', "int_from_float", "/start_year"),
    "year before 1900": (DEMANDS, '{"title": "a", "start_year": 1899}', "greater_than_equal", "/start_year"),
    "year of a work before 1900": (
        PROFILES, '{"kind": "expert", "name": "a", "works": [{"title": "b", "year": 1899}]}', "greater_than_equal",
        "/works/0/year",
    ),
    "region of five digits": (DEMANDS, '{"title": "a", "region": "44060"}', "string_pattern_mismatch", "/region"),
    "region as a number": (DEMANDS, '{"title": "a", "region": 440600}', "string_type", "/region"),
    "region in full width": (DEMANDS, '{"title": "a", "region": "４４０６００"}', "string_pattern_mismatch", "/region"),
    "region with a newline": (DEMANDS, '{"title": "a", "region": "440600\\n"}', "string_pattern_mismatch", "/region"),
    "no industry code": (DEMANDS, '{"title": "a", "industry_code": "3453"}', "string_pattern_mismatch", "/industry_code"),
    "unknown kind": (PROFILES, '{"kind": "robot", "name": "a"}', "literal_error", "/kind"),
    "unknown way of solving": (DEMANDS, '{"title": "a", "cooperation": "magic"}', "literal_error", "/cooperation"),
    "no date": (PROFILES, '{"kind": "expert", "name": "a", "available_from": "明天"}', "date_from_datetime_parsing", "/available_from"),
    "a time for a date": (
        PROFILES, '{"kind": "expert", "name": "a", "available_from": "2026-01-01T10:00:00"}',
        "date_from_datetime_inexact", "/available_from",
    ),
    "wrong check digit": (ORGANIZATIONS, '{"name": "a", "credit_code": "91350100M000100Y4Z"}', "credit_code", "/credit_code"),
    "short credit code": (ORGANIZATIONS, '{"name": "a", "credit_code": "9135"}', "credit_code", "/credit_code"),
    "credit code with a letter that is none": (
        ORGANIZATIONS, '{"name": "a", "credit_code": "91350100I000100Y43"}', "credit_code", "/credit_code"
    ),
    "top_k 0": (MATCHES, '{"query": {"title": "a"}, "top_k": 0}', "greater_than_equal", "/top_k"),
    "top_k 10000": (MATCHES, '{"query": {"title": "a"}, "top_k": 10000}', "less_than_equal", "/top_k"),
    "both questions": (MATCHES, f'{{"query": {{"title": "a"}}, "demand_id": "{UNKNOWN_ID}"}}', "one_of", ""),
    "no question": (MATCHES, "{}", "one_of", ""),
    "too many candidates": (
        MATCHES, json.dumps({"query": {"title": "a"}, "candidates": ["x"] * 5_001}), "too_long", "/candidates"
    ),
    "unknown kind to match": (MATCHES, '{"query": {"title": "a"}, "kinds": ["x"]}', "literal_error", "/kinds/0"),
    "region that is no prefix": (
        MATCHES, '{"query": {"title": "a"}, "regions": ["广东"]}', "string_pattern_mismatch", "/regions/0"
    ),
    "unknown signal": (MATCHES, '{"query": {"title": "a"}, "weights": {"luck": 1}}', "literal_error", "/weights/luck"),
    "negative weight": (
        MATCHES, '{"query": {"title": "a"}, "weights": {"lexical": -1}}', "greater_than_equal", "/weights/lexical"
    ),
    "no items": (f"{DEMANDS}/bulk", '{"items": []}', "too_short", "/items"),
    "1,001 items": (f"{DEMANDS}/bulk", json.dumps({"items": [{"title": "a"}] * 1_001}), "too_long", "/items"),
    "1,001 profiles": (f"{PROFILES}/bulk", json.dumps({"items": [{}] * 1_001}), "too_long", "/items"),
    "unknown scope": ("/v1/match-runs", '{"scope": "all"}', "literal_error", "/scope"),
    "unknown state": (f"{DEMANDS}/{UNKNOWN_ID}/transitions", '{"to": "flying"}', "enum", "/to"),
    "reverse top_k": (f"{PROFILES}/{UNKNOWN_ID}/matches", '{"top_k": 0}', "greater_than_equal", "/top_k"),
}  # fmt: skip

# Rules that need the database or more than one field: path, body, code of the problem and of its error, place.
BROKEN_RULES: dict[str, tuple[str, dict[str, Any], str, str]] = {
    "end before start": (DEMANDS, {"title": "a", "start_year": 2027, "end_year": 2026}, "end_before_start", "/end_year"),
    "unavailable before available": (
        PROFILES, {"kind": "expert", "name": "a", "available_from": "2026-02-01", "available_until": "2026-01-01"},
        "end_before_start", "/available_until",
    ),
    "unknown organization": (
        DEMANDS, {"title": "a", "organization_id": UNKNOWN_ID}, "organization_not_found", "/organization_id"
    ),
    "organization that is no id": (
        PROFILES, {"kind": "expert", "name": "a", "organization_id": "no id"}, "organization_not_found",
        "/organization_id",
    ),
    "unknown external organization": (
        DEMANDS, {"title": "a", "organization_external_id": "nobody"}, "organization_not_found",
        "/organization_external_id",
    ),
    "two works with one external id": (
        PROFILES,
        {"kind": "expert", "name": "a", "works": [{"title": "b", "external_id": "w"}, {"title": "c", "external_id": "w"}]},
        "duplicate_work", "/works/1/external_id",
    ),
    "all weights zero": (
        MATCHES, {"query": {"title": "a"}, "weights": {"lexical": 0, "semantic": 0}}, "weights_all_zero", "/weights"
    ),
    "an ad hoc question cannot be stored": (
        MATCHES, {"query": {"title": "a"}, "store": True}, "store_needs_demand", "/store"
    ),
}  # fmt: skip

NOT_JSON: dict[str, bytes] = {
    "cut off": b'{"title": ',
    "single quotes": b"{'title': 'a'}",
    "a comma too many": b'{"title": "a",}',
    "raw control character": b'{"title": "a\x00"}',
    "GB18030": '{"title": "谐波减速器"}'.encode("gb18030"),
    "Latin-1": '{"title": "é"}'.encode("latin-1"),
    "integer of 5,000 digits": b'{"title": "a", "start_year": ' + b"9" * 5_000 + b"}",
}

# Method, address, status, code, where.
BAD_ADDRESSES: dict[str, tuple[str, str, int, str, str | None]] = {
    "unknown demand": ("GET", f"{DEMANDS}/{UNKNOWN_ID}", 404, "demand_not_found", None),
    "unknown profile": ("GET", f"{PROFILES}/{UNKNOWN_ID}", 404, "profile_not_found", None),
    "unknown organization": ("GET", f"{ORGANIZATIONS}/{UNKNOWN_ID}", 404, "organization_not_found", None),
    "unknown run": ("GET", f"/v1/match-runs/{UNKNOWN_ID}", 404, "match_run_not_found", None),
    "id that is no id": ("GET", f"{DEMANDS}/17", 404, "demand_not_found", None),
    "id in upper case": ("GET", f"{DEMANDS}/{UNKNOWN_ID.upper()}", 404, "demand_not_found", None),
    "very long id": ("GET", f"{PROFILES}/{'x' * 3_000}", 404, "profile_not_found", None),
    "NUL in the path": ("GET", f"{DEMANDS}/%00", 404, "demand_not_found", None),
    "NUL after an id": ("GET", f"{DEMANDS}/{UNKNOWN_ID}%00", 404, "demand_not_found", None),
    "half a pair in the path": ("GET", f"{DEMANDS}/%ED%A0%80", 404, "demand_not_found", None),
    "NUL in an unknown path": ("GET", "/v1/%00", 404, "no_such_path", None),
    "NUL in the query string": ("GET", f"{DEMANDS}?q=%00", 422, "invalid_parameter", "q"),
    "NUL in a filter": ("GET", f"{DEMANDS}?cluster=a%00", 422, "invalid_parameter", "cluster"),
    "NUL in a region": ("GET", f"{PROFILES}?region=%00", 422, "invalid_parameter", "region"),
    "NUL in a cursor": ("GET", f"{DEMANDS}?cursor=%00", 422, "invalid_cursor", "cursor"),
    "cursor of nonsense": ("GET", f"{DEMANDS}?cursor=%21%21", 422, "invalid_cursor", "cursor"),
    "cursor that holds no id": ("GET", f"{DEMANDS}?cursor=YWJj", 422, "invalid_cursor", "cursor"),
    "cursor too long": ("GET", f"{DEMANDS}?cursor={'a' * 201}", 422, "invalid_parameter", "cursor"),
    "limit 0": ("GET", f"{DEMANDS}?limit=0", 422, "invalid_parameter", "limit"),
    "limit 201": ("GET", f"{PROFILES}?limit=201", 422, "invalid_parameter", "limit"),
    "limit of words": ("GET", f"{ORGANIZATIONS}?limit=many", 422, "invalid_parameter", "limit"),
    "limit of 5,000 digits": ("GET", f"{DEMANDS}?limit={'9' * 5_000}", 422, "invalid_parameter", "limit"),
    "unknown status": ("GET", f"{DEMANDS}?status=lost", 422, "invalid_parameter", "status"),
    "unknown kind": ("GET", f"{PROFILES}?kind=robot", 422, "invalid_parameter", "kind"),
    "search for too much": ("GET", f"{DEMANDS}?q={'a' * 201}", 422, "invalid_parameter", "q"),
    "similar top_k": ("GET", f"{DEMANDS}/{UNKNOWN_ID}/similar?top_k=1001", 422, "invalid_parameter", "top_k"),
    "unknown path": ("GET", "/v1/nothing", 404, "no_such_path", None),
    "wrong method on a list": ("DELETE", DEMANDS, 405, "method_not_allowed", None),
    "wrong method on one": ("PUT", f"{PROFILES}/{UNKNOWN_ID}", 405, "method_not_allowed", None),
    "wrong method on matches": ("GET", MATCHES, 405, "method_not_allowed", None),
}


@pytest.mark.parametrize("case", INVALID_BODIES)
def test_an_invalid_body_is_refused_with_code_and_place_in_both_languages(server: Server, case: str) -> None:
    path, body, code, pointer = INVALID_BODIES[case]
    with server.client(**JSON) as http:
        chinese = http.post(path, content=body.encode())
        english = http.post(path, content=body.encode(), headers={"accept-language": "en"})
    in_chinese = assert_problem(chinese, 422, "invalid_body", pointer, error=code)
    in_english = assert_problem(english, 422, "invalid_body", pointer, error=code)
    assert chinese.headers["content-language"] == "zh"
    assert english.headers["content-language"] == "en"
    for words in (in_chinese["title"], in_chinese["detail"], *(error["message"] for error in in_chinese["errors"])):
        assert is_chinese(words)
    for words in (in_english["title"], in_english["detail"], *(error["message"] for error in in_english["errors"])):
        assert not is_chinese(words)


@pytest.mark.parametrize("case", BROKEN_RULES)
def test_a_broken_rule_is_refused_with_code_and_place(server: Server, case: str) -> None:
    path, body, code, pointer = BROKEN_RULES[case]
    with server.client() as http:
        in_chinese = assert_problem(http.post(path, json=body), 422, code, pointer, error=code)
        english = http.post(path, json=body, headers={"accept-language": "en-GB,zh;q=0.5"})
        in_english = assert_problem(english, 422, code, pointer, error=code)
    assert is_chinese(in_chinese["detail"])
    assert not is_chinese(in_english["detail"])


@pytest.mark.parametrize("case", NOT_JSON)
def test_what_is_not_json_in_utf8_is_refused(server: Server, case: str) -> None:
    with server.client(**JSON) as http:
        assert_problem(http.post(DEMANDS, content=NOT_JSON[case]), 400, "invalid_json", "", error="json_invalid")


@pytest.mark.parametrize("case", BAD_ADDRESSES)
def test_a_bad_address_is_refused(server: Server, case: str) -> None:
    method, address, status, code, pointer = BAD_ADDRESSES[case]
    with server.client() as http:
        answer = http.request(method, address)
    body = assert_problem(answer, status, code, pointer)
    assert is_chinese(body["detail"])
    assert (status == 405) == ("allow" in answer.headers)


@pytest.mark.parametrize("path", [DEMANDS, f"{DEMANDS}/bulk", PROFILES, "/v1/matches"])
def test_a_body_of_10_mb_is_too_large(server: Server, path: str) -> None:
    body = b'{"title": "' + b"a" * 10_000_000 + b'"}'
    with server.client(**JSON) as http:
        assert_problem(http.post(path, content=body), 413, "body_too_large")


@pytest.mark.parametrize("path", [DEMANDS, f"{DEMANDS}/bulk", "/v1/imports?what=demands", "/v1/nothing"])
def test_nothing_is_read_for_a_caller_without_a_key(server: Server, path: str) -> None:
    with server.client("", **JSON) as http:
        assert_problem(http.post(path, content=b"{" * 10_000_000), 401, "key_missing")


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ('{"title": "a", "title": "b"}', "key_twice"),
        ('{"title": "a", "contact": {"person": 1, "person": 1}}', "key_twice"),
        ('{"title": ' + "[" * 900 + "]" * 900 + "}", None),
        ('{"title": ' + "[" * 1_100 + "]" * 1_100 + "}", "too_nested"),
        ('{"title": ' + "[" * 100_000 + "]" * 100_000 + "}", "too_nested"),
        ('{"title": ' + '{"a":' * 4_000 + "1" + "}" * 4_001, "too_nested"),
        ("{" + ", ".join(f'"k{n}": {n}' for n in range(1_001)) + "}", "too_many_keys"),
        ('{"keywords": [' + ", ".join(["[]"] * 100_000) + "]}", "too_nested"),
    ],
)
def test_what_no_honest_program_sends_is_refused_in_a_word(server: Server, body: str, code: str | None) -> None:
    with server.client(**JSON) as http:
        for path in (DEMANDS, f"{DEMANDS}/bulk"):
            answer = http.post(path, content=body.encode())
            assert answer.status_code == 422, answer.text
            assert len(answer.content) < 30_000
            if code is not None:
                assert is_chinese(assert_problem(answer, 422, code, "", error=code)["detail"])


def test_of_a_thousand_errors_the_first_are_told_and_the_others_counted(server: Server) -> None:
    with server.client(**JSON) as http:
        alone = http.post(DEMANDS, json={f"k{n}": n for n in range(900)}).json()
        (item,) = http.post(f"{DEMANDS}/bulk", json={"items": [{f"k{n}": n for n in range(900)}]}).json()["items"]
    assert "901" in alone["detail"]
    for errors in (alone["errors"], item["errors"]):
        assert len(errors) == 51
        assert (errors[-1]["code"], errors[-1]["pointer"]) == ("more_errors", "")
        assert "851" in errors[-1]["message"]


def test_a_body_of_10_mb_in_pieces_is_too_large(server: Server) -> None:
    with server.client(**JSON) as http:
        assert_problem(http.post(DEMANDS, content=(b"a" * 1_000_000 for _ in range(10))), 413, "body_too_large")


@pytest.mark.parametrize("content_type", ["text/plain", "application/xml", "application/x-www-form-urlencoded", ""])
def test_a_body_that_is_not_declared_as_json_is_refused(server: Server, content_type: str) -> None:
    with server.client() as http:
        answer = http.post(DEMANDS, content=b'{"title": "a"}', headers={"content-type": content_type})
    assert answer.status_code in {415, 422}
    assert answer.headers["content-type"] == "application/problem+json"
    assert is_chinese(answer.json()["detail"])


def test_every_error_of_a_body_is_named_at_once(server: Server) -> None:
    body = {"titel": "a", "region": "x", "start_year": 1, "keywords": [5]}
    with server.client() as http:
        problem = assert_problem(http.post(DEMANDS, json=body), 422, "invalid_body")
    pointers = {error["pointer"] for error in problem["errors"]}
    assert pointers == {"/title", "/titel", "/region", "/start_year", "/keywords/0"}


@pytest.mark.parametrize(
    ("accept_language", "language"),
    [
        ("", "zh"),
        ("*", "zh"),
        ("fr", "zh"),
        ("zh-CN,en;q=0.9", "zh"),
        ("en-US,en;q=0.9,zh;q=0.8", "en"),
        ("en;q=0", "zh"),
    ],
)
def test_the_language_follows_the_header(server: Server, accept_language: str, language: str) -> None:
    with server.client() as http:
        answer = http.get(f"{DEMANDS}/17", headers={"accept-language": accept_language})
    assert answer.headers["content-language"] == language
    assert is_chinese(answer.json()["detail"]) == (language == "zh")


def test_a_refused_body_stores_nothing(server: Server, source: str) -> None:
    with server.client() as http:
        body = {"title": "a", "source": source, "organization_id": UNKNOWN_ID}
        assert_problem(http.post(DEMANDS, json=body), 422, "organization_not_found")
    n_rows = in_database(
        server, lambda session: session.scalar(select(func.count(DemandRow.id)).where(DemandRow.source == source))
    )
    assert n_rows == 0


@pytest.mark.parametrize(
    "problem", ["", " \u3000", "。！？…", "😀🚀", "\u200b\ufeff", "%", "_", "'; DROP TABLE demands; --"]
)
def test_a_demand_with_an_odd_text_is_stored_as_it_is_or_as_null_and_matched(
    server: Server, source: str, problem: str
) -> None:
    with server.client() as http:
        demand = create(http, "demands", source=source, problem=problem)
        assert demand["problem"] == (problem if problem.strip(" \u3000\u200b\ufeff") else None)
        match(http, demand_id=demand["id"])


@pytest.mark.parametrize(
    "title",
    [
        "？！……",
        "---",
        "😀🤖",
        "የኢትዮጵያ ሳይንስ እና ቴክኖሎጂ",
        "วิธีเพิ่มอายุการใช้งานของเกียร์",
        "ჰარმონიული რედუქტორი",
        "a",
        "泵",
        "\U0010ffff",
    ],
)
def test_a_question_in_any_script_is_answered(server: Server, source: str, title: str) -> None:
    with server.client() as http:
        profile = create(http, "profiles", source=source, summary="研究谐波齿轮传动。")
        answer = match(http, query={"title": title, "must_have": [title]}, candidates=[profile["id"]])
    assert [item["profile"]["id"] for item in answer["items"]] == [profile["id"]]
    assert 0 <= answer["items"][0]["score"] <= 1


def test_an_empty_index_gives_an_empty_list(server: Server) -> None:
    with server.client() as http:
        assert match(http, query={"title": "谐波减速器"}, candidates=[])["items"] == []
        assert match(http, query={"title": "谐波减速器"}, candidates=[UNKNOWN_ID, "no id"])["items"] == []


ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=30)
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | ANY_TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ANY_TEXT, inner, max_size=3),
    max_leaves=5,
)
A_TITLE = st.sampled_from(["谐波减速器", "泵", "pump", "。"]) | ANY_TEXT


def _body(names: list[str], **better: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Objects with some of the fields, each right now and then, and now and then a field that does not exist."""
    chosen = {name: better.get(name, st.nothing()) | ANY_JSON for name in names}
    known = st.fixed_dictionaries({}, optional=chosen)
    return st.builds(lambda fields, others: others | fields, known, st.dictionaries(ANY_TEXT, ANY_JSON, max_size=1))


DEMAND_BODIES = _body(
    [
        "external_id", "source", "title", "problem", "key_technology", "expected_goal", "keywords", "must_have",
        "nice_to_have", "organization_id", "region", "cluster", "industry_code", "funding_wan", "start_year",
        "end_year", "cooperation", "visibility", "organization_external_id",
    ],
    title=A_TITLE, keywords=st.lists(A_TITLE, max_size=3), funding_wan=st.floats(0, 100), start_year=st.just(2026),
)  # fmt: skip
MATCH_BODIES = _body(
    [
        "demand_id", "query", "kinds", "regions", "clusters", "candidates", "exclude", "top_k", "explain", "weights",
        "store",
    ],
    query=_body(["title", "problem", "keywords", "must_have"], title=A_TITLE, must_have=st.lists(A_TITLE, max_size=3)),
    regions=st.just(["44"]), top_k=st.integers(1, 5), clusters=st.lists(A_TITLE, max_size=2),
    weights=st.dictionaries(st.sampled_from(["lexical", "semantic"]), st.floats(0, 1), max_size=2),
)  # fmt: skip
FUZZ = settings(max_examples=60, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])


def _assert_answered_or_refused(http: httpx.Client, path: str, body: Any) -> None:
    answer = http.post(path, content=json.dumps(body).encode())
    assert answer.status_code < 500, answer.text
    if answer.status_code >= 400:
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["code"]
    else:
        assert answer.headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    ("path", "bodies"), [(DEMANDS, DEMAND_BODIES), (MATCHES, MATCH_BODIES)], ids=["demand", "match"]
)
def test_any_json_is_answered_or_refused(server: Server, path: str, bodies: st.SearchStrategy[dict[str, Any]]) -> None:
    with server.client(**JSON) as http:

        @FUZZ
        @given(body=bodies | ANY_JSON)
        def check(body: Any) -> None:
            _assert_answered_or_refused(http, path, body)

        check()
