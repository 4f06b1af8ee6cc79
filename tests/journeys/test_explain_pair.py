"""One pair of demand and profile explained over HTTP, listed or not, and why it is not."""

from datetime import timedelta
from typing import Any

import httpx
import pytest
from conftest import Server
from http_checks import UNKNOWN_ID, assert_problem, create, is_chinese, match, profile_ids

from matching_service.access.policies import POLICIES, Action, Role
from matching_service.foundation.clock import today

TITLE = "蚕丝被防螨整理"
QUERY = {"title": TITLE, "problem": "蚕丝被在储存中易生螨虫，希望找到长效的防螨整理方法。"}
FIT = "研究丝织物的防螨整理，以及驱避螨虫的微胶囊。"
NOT_PART_OF_AN_ITEM = {"index", "weights_version", "took_ms", "is_listed", "why_not"}


def _explain(http: httpx.Client, profile_id: str, **body: Any) -> dict[str, Any]:
    answer: dict[str, Any] = (
        http.post("/v1/matches/explain", json=body | {"profile_id": profile_id}).raise_for_status().json()
    )
    return answer


def _codes(answer: dict[str, Any]) -> list[str]:
    return [reason["code"] for reason in answer["why_not"]]


def _listing(http: httpx.Client, source: str) -> list[str]:
    """Three profiles in a cluster of their own: their ids from the best to the worst."""
    common = {"source": source, "clusters": [source]}
    work = {"title": "蚕丝被螨虫的防治", "abstract": "长效防螨整理。", "year": 2024}
    best = create(http, "profiles", **common, summary=FIT, region="440605", external_id="best", works=[work])
    good = create(http, "profiles", **common, kind="team", name="甲", summary="家纺螨虫的驱避。", region="440300")
    weak = create(http, "profiles", **common, name="乙", summary="丝绸印染与整理。")
    return [best["id"], good["id"], weak["id"]]


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"top_k": 3},
        {"weights": {"semantic": 1, "recency": 0}},
        {"regions": ["44"]},
        {"kinds": ["expert"]},
        {"exclude": [UNKNOWN_ID]},
    ],
    ids=str,
)
@pytest.mark.parametrize("is_stored", [True, False], ids=["demand", "query"])
def test_a_listed_pair_is_explained_as_in_the_list(
    server: Server, source: str, more: dict[str, Any], *, is_stored: bool
) -> None:
    asked = QUERY | {"must_have": ["防螨"], "nice_to_have": ["微胶囊"], "region": "440605", "cluster": source}
    with server.client("batch") as http, server.client() as admin:
        _listing(admin, source)
        question = (
            {"demand_id": create(admin, "demands", source=source, **asked)["id"]} if is_stored else {"query": asked}
        )
        question |= {"clusters": [source]} | more
        listed = match(http, **question)
        answers = [_explain(http, item["profile"]["id"], **question) for item in listed["items"]]
    assert len(answers) >= 2
    for item, answer in zip(listed["items"], answers, strict=True):
        assert answer["is_listed"] is True
        assert answer["why_not"] == []
        assert {name: answer[name] for name in set(answer) - NOT_PART_OF_AN_ITEM} == {
            name: value for name, value in item.items() if name != "match_id"
        }
        assert answer["index"] == listed["index"]
        assert answer["weights_version"] == listed["weights_version"]
        assert answer["took_ms"] >= 0


def test_a_decision_of_staff_is_told(server: Server, source: str) -> None:
    with server.client() as http:
        best = _listing(http, source)[0]
        demand = create(http, "demands", source=source, **QUERY)["id"]
        item = match(http, demand_id=demand, clusters=[source], store=True)["items"][0]
        before = _explain(http, best, demand_id=demand, clusters=[source])
        http.put(f"/v1/matches/{item['match_id']}/decision", json={"decision": "shortlisted"}).raise_for_status()
        after = _explain(http, best, demand_id=demand, clusters=[source])
        adhoc = _explain(http, best, query=QUERY, clusters=[source])
    assert (before["decision"], after["decision"], adhoc["decision"]) == (None, "shortlisted", None)
    assert after | {"decision": None, "took_ms": 0} == before | {"took_ms": 0}


def test_below_top_k_its_rank_is_told(server: Server, source: str) -> None:
    with server.client() as http:
        _listing(http, source)
        listed = match(http, query=QUERY, clusters=[source])["items"]
        last = listed[-1]
        cut = _explain(http, last["profile"]["id"], query=QUERY, clusters=[source], top_k=2)
        shown = _explain(http, last["profile"]["id"], query=QUERY, clusters=[source], top_k=3)
    assert last["rank"] == 3
    assert (cut["rank"], cut["is_listed"], _codes(cut)) == (3, False, ["below_top_k"])
    assert (shown["rank"], shown["is_listed"], _codes(shown)) == (3, True, [])
    for answer in (cut, shown):
        assert (answer["score"], answer["level"]) == (last["score"], last["level"])
        assert answer["explanation"] == last["explanation"]
    for text in cut["why_not"][0]["detail"].values():
        assert "3" in text
        assert "2" in text


@pytest.mark.parametrize(
    ("filters", "code", "zh"),
    [
        ({"kinds": ["team", "policy"]}, "other_kind", "expert"),
        ({"regions": ["51", "440300"]}, "other_region", "440605"),
        ({"clusters": ["装备制造"]}, "other_cluster", "集群"),
        ({"overseas": True}, "other_origin", "境外"),
        ({"exclude": ["itself"]}, "excluded_by_request", "exclude"),
    ],
)
def test_what_the_request_leaves_out_is_named_and_still_scored(
    server: Server, source: str, filters: dict[str, Any], code: str, zh: str
) -> None:
    with server.client() as http:
        best = _listing(http, source)[0]
        filters = filters | ({"exclude": [best]} if "exclude" in filters else {})
        answer = _explain(http, best, query=QUERY, **filters)
        listed = match(http, query=QUERY, **filters, top_k=1_000)
        unfiltered = match(http, query=QUERY, candidates=[best])["items"][0]
    assert best not in profile_ids(listed)
    assert (answer["rank"], answer["is_listed"], _codes(answer)) == (None, False, [code])
    assert zh in answer["why_not"][0]["detail"]["zh"]
    assert (answer["score"], answer["level"]) == (unfiltered["score"], unfiltered["level"])
    assert answer["explanation"] == unfiltered["explanation"]


def test_a_profile_without_a_region_is_in_none_that_is_asked_for(server: Server, source: str) -> None:
    with server.client() as http:
        profile = create(http, "profiles", source=source, summary=FIT)["id"]
        answer = _explain(http, profile, query=QUERY, regions=["44"])
    assert _codes(answer) == ["other_region"]
    assert "未知" in answer["why_not"][0]["detail"]["zh"]
    assert "unknown" in answer["why_not"][0]["detail"]["en"]


def test_nothing_in_common_is_said_of_a_score_of_zero(server: Server, source: str) -> None:
    with server.client() as http:
        profile = create(http, "profiles", source=source, clusters=[source], summary="😀！")["id"]
        answer = _explain(http, profile, query=QUERY, clusters=[source])
        listed = match(http, query=QUERY, clusters=[source])["items"]
    assert listed == []
    assert (answer["score"], answer["level"], answer["rank"], answer["is_listed"]) == (0, "none", None, False)
    assert _codes(answer) == ["nothing_in_common"]


def _cases(http: httpx.Client, source: str) -> tuple[str, dict[str, str]]:
    """A demand, and per conflict a profile of the same text that may not be proposed for it."""
    own, rival = (create(http, "organizations", source=source)["id"] for _ in range(2))
    demand = create(http, "demands", source=source, organization_id=own, **QUERY)["id"]
    in_two_days = (today() + timedelta(days=2)).isoformat()
    fields: dict[str, dict[str, Any]] = {
        "own_organization": {"organization_id": own},
        "excluded_by_organization": {},
        "excluded_organization": {"organization_id": rival},
        "unavailable": {"available_from": in_two_days},
        "hidden": {"visibility": "hidden"},
        "withdrawn": {"visibility": "withdrawn"},
        "rejected": {},
        "free": {},
    }
    ids = {
        code: create(http, "profiles", source=source, clusters=[source], summary=FIT, **more)["id"]
        for code, more in fields.items()
    }
    exclusions = [{"profile_id": ids["excluded_by_organization"], "reason": "合作已终止"}, {"organization_id": rival}]
    http.put(f"/v1/organizations/{own}/exclusions", json={"items": exclusions}).raise_for_status()
    item = match(http, demand_id=demand, candidates=[ids["rejected"]], store=True)["items"][0]
    http.put(f"/v1/matches/{item['match_id']}/decision", json={"decision": "rejected"}).raise_for_status()
    return demand, ids


def test_each_conflict_is_named_and_who_is_searchable_is_still_scored(server: Server, source: str) -> None:
    with server.client() as http:
        demand, ids = _cases(http, source)
        answers = {code: _explain(http, ids[code], demand_id=demand, clusters=[source]) for code in ids}
        stored = match(http, demand_id=demand, clusters=[source], store=True)
    assert profile_ids(stored) == [ids["free"]]
    free = answers.pop("free")
    assert (free["is_listed"], free["rank"], free["why_not"]) == (True, 1, [])
    for code, answer in answers.items():
        assert (answer["is_listed"], answer["rank"], _codes(answer)) == (False, None, [code])
        assert answer["profile"]["id"] == ids[code]
        detail = answer["why_not"][0]["detail"]
        assert set(detail) == {"zh", "en"}
        assert is_chinese(detail["zh"])
        assert code == "excluded_by_organization" or not is_chinese(detail["en"])
        if code in {"hidden", "withdrawn"}:
            assert (answer["score"], answer["level"], answer["explanation"]) == (None, None, None)
        else:
            assert (answer["score"], answer["level"]) == (free["score"], free["level"])
            assert answer["explanation"] == free["explanation"]
    assert "合作已终止" in answers["excluded_by_organization"]["why_not"][0]["detail"]["zh"]
    assert answers["rejected"]["decision"] == "rejected"
    assert answers["hidden"]["decision"] is None


def test_a_question_of_its_own_knows_no_organization_but_who_is_away_or_hidden(server: Server, source: str) -> None:
    with server.client() as http:
        _, ids = _cases(http, source)
        codes = {name: _codes(_explain(http, ids[name], query=QUERY, clusters=[source])) for name in ids}
    conflicts = {"unavailable", "hidden", "withdrawn"}
    assert codes == {name: [name] if name in conflicts else [] for name in ids}


def test_all_reasons_are_told_at_once(server: Server, source: str) -> None:
    with server.client() as http:
        own = create(http, "organizations", source=source)["id"]
        two_days_ago = (today() - timedelta(days=2)).isoformat()
        profile = create(
            http, "profiles", source=source, clusters=[source], summary=FIT, organization_id=own, region="440605",
            available_until=two_days_ago,
        )["id"]  # fmt: skip
        exclusions = {"items": [{"profile_id": profile}]}
        http.put(f"/v1/organizations/{own}/exclusions", json=exclusions).raise_for_status()
        demand = create(http, "demands", source=source, organization_id=own, **QUERY)["id"]
        filters = {"kinds": ["team"], "regions": ["51"], "clusters": ["装备制造"], "exclude": [profile]}
        searchable = _explain(http, profile, demand_id=demand, **filters)
        http.patch(f"/v1/profiles/{profile}", json={"visibility": "hidden"}).raise_for_status()
        hidden = _explain(http, profile, demand_id=demand, **filters)
    of_the_demand = ["own_organization", "excluded_by_organization", "unavailable"]
    of_the_request = ["other_kind", "other_region", "other_cluster", "excluded_by_request"]
    assert _codes(searchable) == of_the_demand + of_the_request
    assert _codes(hidden) == [*of_the_demand, "hidden", *of_the_request]
    assert searchable["score"] > 0
    assert searchable["explanation"]["evidence"]
    assert hidden["score"] is None
    assert hidden["explanation"] is None
    assert (searchable["is_listed"], hidden["is_listed"]) == (False, False)
    for reason in hidden["why_not"]:
        assert set(reason["detail"]) == {"zh", "en"}
        assert is_chinese(reason["detail"]["zh"])
        assert not is_chinese(reason["detail"]["en"])
    assert two_days_ago in hidden["why_not"][2]["detail"]["zh"]
    assert two_days_ago in hidden["why_not"][2]["detail"]["en"]


def test_every_reason_of_the_request_is_told_in_both_languages(server: Server, source: str) -> None:
    with server.client() as http:
        ids = _listing(http, source)
        nothing = create(http, "profiles", source=source, clusters=[source], summary="！")["id"]
        question = {"query": QUERY, "clusters": [source]}
        answers = [_explain(http, ids[2], top_k=1, **question), _explain(http, nothing, **question)]
        answers += [
            _explain(http, ids[0], query=QUERY, **filters)
            for filters in ({"kinds": ["team"]}, {"regions": ["51"]}, {"clusters": ["x"]}, {"exclude": [ids[0]]})
        ]
    codes = [code for answer in answers for code in _codes(answer)]
    assert codes == [
        "below_top_k", "nothing_in_common", "other_kind", "other_region", "other_cluster", "excluded_by_request",
    ]  # fmt: skip
    for answer in answers:
        (reason,) = answer["why_not"]
        assert set(reason["detail"]) == {"zh", "en"}
        assert is_chinese(reason["detail"]["zh"])
        assert not is_chinese(reason["detail"]["en"])


@pytest.mark.parametrize("language", ["zh", "en"])
def test_what_does_not_exist_is_not_found(server: Server, source: str, language: str) -> None:
    with server.client(**{"accept-language": language}) as http:
        profile = create(http, "profiles", source=source)["id"]
        demand = create(http, "demands", source=source)["id"]
        for unknown in (UNKNOWN_ID, "17"):
            for question in ({"demand_id": demand}, {"query": QUERY}):
                answer = http.post("/v1/matches/explain", json=question | {"profile_id": unknown})
                problem = assert_problem(answer, 404, "profile_not_found")
                assert is_chinese(problem["detail"]) == (language == "zh")
            answer = http.post("/v1/matches/explain", json={"demand_id": unknown, "profile_id": profile})
            problem = assert_problem(answer, 404, "demand_not_found")
            assert is_chinese(problem["detail"]) == (language == "zh")


def test_a_deleted_profile_is_not_found(server: Server, source: str) -> None:
    with server.client() as http:
        profile = create(http, "profiles", source=source, summary=FIT)["id"]
        _explain(http, profile, query=QUERY)
        assert http.delete(f"/v1/profiles/{profile}").status_code == 204
        answer = http.post("/v1/matches/explain", json={"query": QUERY, "profile_id": profile})
    assert_problem(answer, 404, "profile_not_found")


@pytest.mark.parametrize(
    ("body", "error", "pointer"),
    [
        ({"profile_id": UNKNOWN_ID}, "one_of", ""),
        ({"profile_id": UNKNOWN_ID, "demand_id": UNKNOWN_ID, "query": {"title": "x"}}, "one_of", ""),
        ({"profile_id": UNKNOWN_ID, "demand_id": None, "query": None}, "one_of", ""),
        ({"query": {"title": "x"}}, "missing", "/profile_id"),
        ({"query": {"title": "x"}, "profile_id": None}, "string_type", "/profile_id"),
        ({"query": {"title": "x"}, "profile_id": ""}, "string_too_short", "/profile_id"),
        ({"query": {}, "profile_id": UNKNOWN_ID}, "missing", "/query/title"),
        ({"query": {"title": "x"}, "profile_id": UNKNOWN_ID, "top_k": 0}, "greater_than_equal", "/top_k"),
        ({"query": {"title": "x"}, "profile_id": UNKNOWN_ID, "store": True}, "extra_forbidden", "/store"),
        ({"query": {"title": "x"}, "profile_id": UNKNOWN_ID, "candidates": []}, "extra_forbidden", "/candidates"),
    ],
)
def test_an_invalid_question_is_refused_in_both_languages(
    server: Server, body: dict[str, Any], error: str, pointer: str
) -> None:
    with server.client() as http:
        chinese = assert_problem(http.post("/v1/matches/explain", json=body), 422, "invalid_body", pointer, error=error)
        answer = http.post("/v1/matches/explain", json=body, headers={"accept-language": "en"})
    english = assert_problem(answer, 422, "invalid_body", pointer, error=error)
    assert all(is_chinese(found["message"]) for found in chinese["errors"])
    assert not any(is_chinese(found["message"]) for found in english["errors"])


def test_weights_without_a_topic_are_refused_as_for_a_list(server: Server, source: str) -> None:
    with server.client() as http:
        profile = create(http, "profiles", source=source)["id"]
        body = {"query": QUERY, "weights": {"lexical": 0, "semantic": 0}}
        for path, more in (("/v1/matches", {}), ("/v1/matches/explain", {"profile_id": profile})):
            assert_problem(http.post(path, json=body | more), 422, "weights_all_zero", "/weights")


@pytest.mark.parametrize("role", ["", *Role], ids=str)
def test_who_may_rank_may_explain(server: Server, source: str, role: str) -> None:
    with server.client() as admin:
        profile = create(admin, "profiles", source=source, summary=FIT)["id"]
    with server.client(role) as http:
        ranked = http.post("/v1/matches", json={"query": QUERY, "candidates": [profile]})
        explained = http.post("/v1/matches/explain", json={"query": QUERY, "profile_id": profile})
    if role and Role(role) in POLICIES[Action.MATCH]:
        assert (ranked.status_code, explained.status_code) == (200, 200)
    else:
        status, code = (403, "forbidden") if role else (401, ranked.json()["code"])
        assert_problem(ranked, status, code)
        assert_problem(explained, status, code)


@pytest.mark.parametrize("visibility", ["public", "restricted", "hidden", "withdrawn"])
def test_no_contact_data_is_told_and_of_a_hidden_profile_no_text(server: Server, source: str, visibility: str) -> None:
    secret, text = f"phone-{source}", f"螨虫 text-{source}"
    with server.client() as http:
        profile = create(http, "profiles", source=source, summary=text, visibility=visibility)["id"]
        contact = {"phone": secret, "email": secret, "address": secret}
        http.put(f"/v1/profiles/{profile}/contact", json=contact).raise_for_status()
        answer = http.post("/v1/matches/explain", json={"query": QUERY, "profile_id": profile})
    assert answer.status_code == 200
    assert set(answer.json()["profile"]) == {
        "id", "external_id", "kind", "name", "region", "country", "overseas", "language", "organization",
    }  # fmt: skip
    assert secret not in answer.text
    assert '"phone"' not in answer.text
    assert (text in answer.text) == (visibility in {"public", "restricted"})


def test_explaining_stores_nothing(server: Server, source: str) -> None:
    with server.client() as http:
        profile = create(http, "profiles", source=source, summary=FIT)["id"]
        demand = create(http, "demands", source=source, **QUERY)["id"]
        _explain(http, profile, demand_id=demand)
        assert_problem(http.get(f"/v1/demands/{demand}/matches"), 404, "no_match_run")


def test_a_repeated_question_with_one_key_gives_the_same_answer(server: Server, source: str) -> None:
    with server.client(**{"Idempotency-Key": source}) as http, server.client() as other:
        body = {"query": QUERY, "profile_id": create(other, "profiles", source=source, summary=FIT)["id"]}
        first = http.post("/v1/matches/explain", json=body)
        again = http.post("/v1/matches/explain", json=body)
    assert first.raise_for_status().json() == again.json()
    assert again.headers["idempotent-replayed"] == "true"
