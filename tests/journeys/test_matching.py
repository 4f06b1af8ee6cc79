"""Matching over HTTP: what is ranked, in which order, why, and what is kept."""

from itertools import pairwise
from typing import Any

import httpx
import pytest
from conftest import Server
from http_checks import UNKNOWN_ID, assert_problem, create, match, profile_ids, publish

TITLE = "谐波减速器柔轮疲劳开裂"
QUERY = {"title": TITLE, "problem": "柔轮齿根出现裂纹，希望延长疲劳寿命。"}


def _suppliers(http: httpx.Client, source: str) -> dict[str, str]:
    """Four profiles in a cluster of their own, from the best to one that has nothing to do with it."""
    common = {"source": source, "clusters": [source]}
    best = create(
        http, "profiles", **common, external_id="best", region="440605",
        summary="研究谐波减速器，擅长柔轮齿根疲劳寿命预测。",
        works=[{"kind": "paper", "title": "谐波减速器柔轮疲劳裂纹萌生机理", "abstract": "柔轮疲劳开裂。", "year": 2024}],
    )  # fmt: skip
    good = create(http, "profiles", **common, kind="team", region="440300", name="甲", summary="精密减速器与齿轮传动。")
    weak = create(http, "profiles", **common, region="510100", name="乙", summary="金属材料的疲劳。")
    none = create(http, "profiles", **common, kind="society", name="淡水养殖学会", summary="草鱼养殖与饲料配方。")
    return {"best": best["id"], "good": good["id"], "weak": weak["id"], "none": none["id"]}


def test_an_unknown_demand_or_match_is_not_found(server: Server) -> None:
    with server.client() as http:
        for demand_id in (UNKNOWN_ID, "17"):
            assert_problem(http.post("/v1/matches", json={"demand_id": demand_id}), 404, "demand_not_found")
            decision = http.put(f"/v1/matches/{demand_id}/decision", json={"decision": "pinned"})
            assert_problem(decision, 404, "match_not_found")


def test_a_demand_without_a_list_says_how_to_get_one(server: Server, source: str) -> None:
    with server.client() as http:
        demand = create(http, "demands", source=source)["id"]
        match(http, demand_id=demand)
        problem = assert_problem(http.get(f"/v1/demands/{demand}/matches"), 404, "no_match_run")
    assert "POST /v1/matches" in problem["detail"]


def test_a_decision_is_one_of_three_or_null(server: Server) -> None:
    with server.client() as http:
        for body, pointer in (
            ({"decision": "maybe"}, "/decision"),
            ({}, "/decision"),
        ):
            answer = http.put(f"/v1/matches/{UNKNOWN_ID}/decision", json=body)
            assert_problem(answer, 422, "invalid_body", pointer)


def test_a_stored_demand_and_the_same_question_give_the_same_list(server: Server, source: str) -> None:
    with server.client("batch") as http, server.client() as admin:
        ids = _suppliers(admin, source)
        demand = create(admin, "demands", source=source, must_have=["谐波减速器"], **QUERY)
        by_demand = match(http, demand_id=demand["id"], clusters=[source])
        by_query = match(http, query=QUERY | {"must_have": ["谐波减速器"]}, clusters=[source])
    assert by_demand["items"] == by_query["items"]
    assert by_demand["run_id"] is None
    assert by_demand["index"] == by_query["index"]
    assert profile_ids(by_demand)[0] == ids["best"]
    assert by_demand["items"][0]["profile"] == {
        "id": ids["best"],
        "external_id": "best",
        "kind": "expert",
        "name": "卓砺川",
        "region": "440605",
        "country": "CN",
        "overseas": False,
        "language": "zh",
        "organization": None,
    }


def test_scores_fall_ranks_rise_and_every_score_is_explained(server: Server, source: str) -> None:
    with server.client() as http:
        ids = _suppliers(http, source)
        query = QUERY | {"must_have": ["谐波减速器", "激光雷达"]}
        items = match(http, query=query, candidates=list(ids.values()))["items"]
        stored = http.get(f"/v1/profiles/{ids['best']}").json()
    assert [item["rank"] for item in items] == [1, 2, 3, 4]
    assert all(a["score"] >= b["score"] for a, b in pairwise(items))
    for item in items:
        parts = item["explanation"]["parts"]
        assert abs(sum(part["contribution"] for part in parts) - item["score"]) < 1e-6
        assert all(abs(part["value"] * part["weight"] - part["contribution"]) < 1e-6 for part in parts)
        assert item["level"] in {"strong", "related", "weak", "none"}
        assert 0 <= item["score"] <= 1
        assert item["match_id"] is None
        assert item["decision"] is None
    best = items[0]
    assert best["profile"]["id"] == ids["best"]
    assert best["explanation"]["missing_must_have"] == ["激光雷达"]
    assert items[-1]["explanation"]["missing_must_have"] == ["谐波减速器", "激光雷达"]
    assert "谐波减速器" in [term["term"] for term in best["explanation"]["terms"]]
    assert set(best["explanation"]["reason"]) == {"zh", "en"}
    assert best["explanation"]["evidence"]
    fields = {None: stored, stored["works"][0]["id"]: stored["works"][0]}
    for evidence in best["explanation"]["evidence"]:
        whole = fields[evidence["work_id"]][evidence["field"]]
        if isinstance(whole, str):
            start = evidence["start"]
            assert whole[start : start + len(evidence["text"])] == evidence["text"]
        assert evidence["highlights"]
        for start, end in evidence["highlights"]:
            assert 0 <= start < end <= len(evidence["text"])


def test_candidates_are_all_returned_in_order_whatever_their_score(server: Server, source: str) -> None:
    with server.client() as http:
        ids = _suppliers(http, source)
        hidden = create(http, "profiles", source=source, visibility="hidden")["id"]
        wanted = [ids["none"], ids["weak"], hidden, ids["best"], UNKNOWN_ID, ids["good"], ids["best"]]
        items = match(http, query=QUERY, candidates=wanted, top_k=1)["items"]
        nonsense = match(http, query={"title": "？！"}, candidates=wanted, top_k=1)["items"]
    assert {item["profile"]["id"] for item in items} == set(ids.values())
    assert len(items) == 4
    assert items[0]["profile"]["id"] == ids["best"]
    assert [item["score"] for item in items] == sorted((item["score"] for item in items), reverse=True)
    assert {item["profile"]["id"] for item in nonsense} == set(ids.values())


def test_filters_restrict_the_list(server: Server, source: str) -> None:
    with server.client() as http:
        ids = _suppliers(http, source)
        candidates = list(ids.values())

        def found(**filters: Any) -> set[str]:
            listed = profile_ids(match(http, query=QUERY, **({"candidates": candidates} | filters)))
            return {name for name, profile_id in ids.items() if profile_id in listed}

        assert found() == set(ids)
        assert found(kinds=["team"]) == {"good"}
        assert found(kinds=["team", "society"]) == {"good", "none"}
        assert found(regions=["44"]) == {"best", "good"}
        assert found(regions=["440605", "51"]) == {"best", "weak"}
        assert found(clusters=["装备制造"]) == set()
        assert found(clusters=["装备制造", source]) == set(ids)
        assert found(exclude=[ids["best"], UNKNOWN_ID]) == {"good", "weak", "none"}
        assert found(kinds=["expert"], regions=["51"], exclude=[ids["best"]]) == {"weak"}
        assert found(candidates=None, clusters=[source], kinds=["policy"]) == set()
        assert found(candidates=None, clusters=[source], exclude=[ids["best"]]) <= {"good", "weak", "none"}


def test_top_k_cuts_the_list(server: Server, source: str) -> None:
    with server.client() as http:
        _suppliers(http, source)
        whole = match(http, query=QUERY, clusters=[source])["items"]
        assert len(whole) >= 2
        for top_k in (1, 2, 1_000):
            assert match(http, query=QUERY, clusters=[source], top_k=top_k)["items"] == whole[:top_k]


def test_a_list_without_explanations_has_the_same_order_and_scores(server: Server, source: str) -> None:
    with server.client() as http:
        _suppliers(http, source)
        explained = match(http, query=QUERY, clusters=[source])["items"]
        bare = match(http, query=QUERY, clusters=[source], explain=False)["items"]
    assert all(item["explanation"] is None for item in bare)
    assert bare == [item | {"explanation": None} for item in explained]


def test_weights_change_the_score_and_only_their_ratio_matters(server: Server, source: str) -> None:
    with server.client() as http:
        best = _suppliers(http, source)["best"]

        def scored(weights: dict[str, float] | None) -> dict[str, Any]:
            answer = match(http, query=QUERY, candidates=[best], weights=weights)
            assert answer["weights_version"] == ("custom" if weights is not None else default["weights_version"])
            found: dict[str, Any] = answer["items"][0]
            return found

        default = match(http, query=QUERY, candidates=[best])
        lexical = scored({"lexical": 1, "semantic": 0, "recency": 0})
        semantic = scored({"lexical": 0, "recency": 0})
        assert scored(None) == default["items"][0]
        assert scored({"lexical": 7, "semantic": 0, "recency": 0})["score"] == lexical["score"]
        assert scored({"lexical": 1e-60, "semantic": 0, "recency": 0})["score"] == lexical["score"]
        assert scored({"recency": 0})["score"] != default["items"][0]["score"]
    values = {part["signal"]: part["value"] for part in default["items"][0]["explanation"]["parts"]}
    assert lexical["score"] == pytest.approx(values["lexical"])
    assert semantic["score"] == pytest.approx(values["semantic"])
    assert len({lexical["score"], semantic["score"], default["items"][0]["score"]}) == 3


def test_the_same_request_gives_the_same_items(server: Server, source: str) -> None:
    with server.client() as http:
        for _ in range(3):
            create(http, "profiles", source=source, clusters=[source], summary="谐波减速器柔轮")
        first, second = (match(http, query=QUERY, clusters=[source]) for _ in range(2))
    assert len(first["items"]) == 3
    assert first["items"] == second["items"]
    assert profile_ids(first) == sorted(profile_ids(first))
    assert first["index"] == second["index"]


def test_a_change_of_a_profile_is_seen_by_the_next_match(server: Server, source: str) -> None:
    with server.client() as http:
        profile = create(http, "profiles", source=source, clusters=[source], summary="草鱼养殖与饲料配方。")
        question = {"query": QUERY, "candidates": [profile["id"]]}
        before = match(http, **question)
        http.patch(f"/v1/profiles/{profile['id']}", json={"works": [{"title": TITLE}]}).raise_for_status()
        after = match(http, **question)
        http.patch(f"/v1/profiles/{profile['id']}", json={"works": []}).raise_for_status()
        again = match(http, **question)
    assert after["items"][0]["score"] > before["items"][0]["score"]
    assert again["items"][0]["score"] == pytest.approx(before["items"][0]["score"], abs=0.05)
    assert before["index"]["as_of"] < after["index"]["as_of"] < again["index"]["as_of"]


def test_the_demanding_organization_is_never_proposed_to_itself(server: Server, source: str) -> None:
    with server.client() as http:
        own, other = (create(http, "organizations", source=source)["id"] for _ in range(2))
        demand = create(http, "demands", source=source, organization_id=own, **QUERY)
        publish(http, demand["id"])
        common = {"source": source, "clusters": [source], "summary": "谐波减速器柔轮疲劳"}
        inside = create(http, "profiles", organization_id=own, **common)["id"]
        outside = create(http, "profiles", organization_id=other, **common)["id"]
        alone = create(http, "profiles", **common)["id"]
        assert set(profile_ids(match(http, demand_id=demand["id"], clusters=[source]))) == {outside, alone}
        named = match(http, demand_id=demand["id"], candidates=[inside, outside, alone])
        assert set(profile_ids(named)) == {outside, alone}
        reverse = http.post(f"/v1/profiles/{inside}/matches", json={"top_k": 1_000}).json()
        assert demand["id"] not in [item["demand"]["id"] for item in reverse["items"]]


def test_a_pinned_profile_that_joined_the_demanding_organization_is_not_proposed(server: Server, source: str) -> None:
    with server.client() as http:
        own = create(http, "organizations", source=source)["id"]
        demand = create(http, "demands", source=source, organization_id=own, **QUERY)["id"]
        profile = create(http, "profiles", source=source, summary=TITLE)["id"]
        item = match(http, demand_id=demand, candidates=[profile], store=True)["items"][0]
        http.put(f"/v1/matches/{item['match_id']}/decision", json={"decision": "pinned"}).raise_for_status()
        http.patch(f"/v1/profiles/{profile}", json={"organization_id": own}).raise_for_status()
        assert profile not in profile_ids(match(http, demand_id=demand, store=True))


def test_an_excluded_profile_is_not_in_the_list_though_it_is_pinned(server: Server, source: str) -> None:
    with server.client() as http:
        demand = create(http, "demands", source=source, **QUERY)["id"]
        profile = create(http, "profiles", source=source, summary=TITLE)["id"]
        item = match(http, demand_id=demand, candidates=[profile], store=True)["items"][0]
        http.put(f"/v1/matches/{item['match_id']}/decision", json={"decision": "pinned"}).raise_for_status()
        assert profile not in profile_ids(match(http, demand_id=demand, exclude=[profile], store=True))


def test_a_stored_list_is_read_back(server: Server, source: str) -> None:
    with server.client() as http:
        _suppliers(http, source)
        demand = create(http, "demands", source=source, **QUERY)["id"]
        stored = match(http, demand_id=demand, clusters=[source], store=True)
        read = http.get(f"/v1/demands/{demand}/matches").raise_for_status().json()
        run = http.get(f"/v1/match-runs/{stored['run_id']}").raise_for_status().json()
        match(http, demand_id=demand, clusters=[source], top_k=1)
        unchanged = http.get(f"/v1/demands/{demand}/matches").json()
        newer = match(http, demand_id=demand, clusters=[source], top_k=1, explain=False, store=True)
        newest = http.get(f"/v1/demands/{demand}/matches").json()
    assert stored["run_id"]
    assert all(item["match_id"] for item in stored["items"])
    assert read["items"] == stored["items"]
    for name in ("run_id", "index", "weights_version"):
        assert read[name] == stored[name]
    assert (run["state"], run["scope"], run["n_done"], run["n_demands"]) == ("finished", "demand", 1, 1)
    assert unchanged == read
    assert newest["items"] == newer["items"]
    assert newest["items"][0]["explanation"] is None


def test_decisions_hold_for_every_later_list(server: Server, source: str) -> None:
    with server.client("staff") as http:
        ids = _suppliers(http, source)
        demand = create(http, "demands", source=source, **QUERY)["id"]
        first = match(http, demand_id=demand, candidates=list(ids.values()), store=True)
        match_ids = {item["profile"]["id"]: item["match_id"] for item in first["items"]}

        def decide(name: str, decision: str, reason: str | None = None) -> dict[str, Any]:
            body = {"decision": decision, "reason": reason}
            answer = http.put(f"/v1/matches/{match_ids[ids[name]]}/decision", json=body)
            made: dict[str, Any] = answer.raise_for_status().json()
            return made

        pinned = decide("none", "pinned", "企业已面谈")
        decide("best", "shortlisted")
        decide("best", "rejected", "利益冲突")
        shown = http.get(f"/v1/demands/{demand}/matches").json()
        second = match(http, demand_id=demand, clusters=[source], top_k=1, store=True)
        read = http.get(f"/v1/demands/{demand}/matches").json()
        match_ids |= {item["profile"]["id"]: item["match_id"] for item in second["items"]}
        decide("none", "shortlisted")
        third = match(http, demand_id=demand, clusters=[source], top_k=1, store=True)
    assert pinned.items() >= {
        "demand_id": demand, "profile_id": ids["none"], "decision": "pinned", "reason": "企业已面谈",
    }.items()  # fmt: skip
    decisions = {item["profile"]["id"]: item["decision"] for item in shown["items"]}
    assert decisions == {ids["best"]: "rejected", ids["good"]: None, ids["weak"]: None, ids["none"]: "pinned"}
    assert profile_ids(second)[0] == ids["none"]
    assert len(second["items"]) == 2
    assert ids["best"] not in profile_ids(second)
    assert read["items"] == second["items"]
    assert [item["decision"] for item in second["items"]] == ["pinned", None]
    assert len(third["items"]) == 1


def test_the_reverse_gives_the_very_score_of_the_demands_own_list(server: Server, source: str) -> None:
    with server.client("batch") as http, server.client() as admin:
        ids = _suppliers(admin, source)
        demands = {
            state: create(admin, "demands", source=source, external_id=state, cluster=source, region="440605", **QUERY)
            for state in ("open", "draft", "closed")
        }
        for state in ("open", "closed"):
            publish(admin, demands[state]["id"])
        admin.post(f"/v1/demands/{demands['closed']['id']}/transitions", json={"to": "expired"}).raise_for_status()
        reverse = http.post(f"/v1/profiles/{ids['best']}/matches", json={"top_k": 1_000}).raise_for_status().json()
        forward = match(http, demand_id=demands["open"]["id"], candidates=[ids["best"]])["items"][0]
        one = http.post(f"/v1/profiles/{ids['best']}/matches", json={"top_k": 1}).json()["items"]
        without_body = http.post(f"/v1/profiles/{ids['best']}/matches").json()["items"]
    found = {item["demand"]["id"]: item for item in reverse["items"]}
    assert demands["open"]["id"] in found
    assert demands["draft"]["id"] not in found
    assert demands["closed"]["id"] not in found
    item = found[demands["open"]["id"]]
    assert (item["score"], item["level"]) == (forward["score"], forward["level"])
    assert item["explanation"] == forward["explanation"]
    assert item["demand"] == {
        "id": demands["open"]["id"], "external_id": "open", "title": TITLE, "status": "published", "cluster": source,
        "region": "440605",
    }  # fmt: skip
    assert [item["rank"] for item in reverse["items"]] == list(range(1, len(reverse["items"]) + 1))
    assert all(a["score"] >= b["score"] for a, b in pairwise(reverse["items"]))
    assert one == reverse["items"][:1]
    assert without_body == reverse["items"][:20]


def test_similar_demands_are_others(server: Server, source: str) -> None:
    with server.client() as http:
        title = f"谐波减速器柔轮疲劳开裂 {source}"
        asked, twin = (create(http, "demands", source=source, title=title)["id"] for _ in range(2))
        far = create(http, "demands", source=source, title="草鱼饲料配方")["id"]
        answer = http.get(f"/v1/demands/{asked}/similar").raise_for_status().json()
        one = http.get(f"/v1/demands/{asked}/similar", params={"top_k": 1}).json()["items"]
    found = [item["demand"]["id"] for item in answer["items"]]
    assert found[0] == twin
    assert asked not in found
    assert far not in found[:1]
    assert one == answer["items"][:1]
    assert answer["items"][0]["demand"]["status"] == "draft"


def test_a_changed_demand_is_matched_by_its_new_text(server: Server, source: str) -> None:
    with server.client() as http:
        ids = _suppliers(http, source)
        demand = create(http, "demands", source=source, title="草鱼饲料配方")["id"]
        question = {"demand_id": demand, "candidates": [ids["best"], ids["none"]]}
        before = match(http, **question)
        http.patch(f"/v1/demands/{demand}", json={"title": TITLE}).raise_for_status()
        after = match(http, **question)
    assert profile_ids(before) == [ids["none"], ids["best"]]
    assert profile_ids(after) == [ids["best"], ids["none"]]


def test_the_origin_of_each_profile_is_shown_and_asked_for(server: Server, source: str) -> None:
    with server.client() as http:
        institute = create(http, "organizations", source=source, name=f"研究院{source}")
        common = {"source": source, "clusters": [source], "summary": "谐波减速器柔轮齿根疲劳寿命。"}
        fields: dict[str, dict[str, Any]] = {
            "at home": {"organization_id": institute["id"]},
            "abroad": {"country": "DE", "language": "de"},
            "abroad, in Chinese": {"country": "SG"},
        }
        names = {create(http, "profiles", **common, **more)["id"]: name for name, more in fields.items()}
        demand = create(http, "demands", source=source, **QUERY)["id"]
        kept = match(http, demand_id=demand, clusters=[source], store=True)
        listed = http.get(f"/v1/demands/{demand}/matches").raise_for_status().json()
        by_origin = {
            overseas: {names[i] for i in profile_ids(match(http, query=QUERY, clusters=[source], overseas=overseas))}
            for overseas in (None, True, False)
        }
        wrong = http.post("/v1/matches", json={"query": QUERY, "overseas": "yes"})
    expected = {
        "at home": {
            "country": "CN", "overseas": False, "language": "zh",
            "organization": {"id": institute["id"], "name": institute["name"]},
        },
        "abroad": {"country": "DE", "overseas": True, "language": "de", "organization": None},
        "abroad, in Chinese": {"country": "SG", "overseas": True, "language": "zh", "organization": None},
    }  # fmt: skip
    for answer in (kept, listed):
        shown = {names[item["profile"]["id"]]: item["profile"] for item in answer["items"]}
        assert {name: {key: shown[name][key] for key in expected["at home"]} for name in shown} == expected
    assert by_origin == {None: set(names.values()), True: {"abroad", "abroad, in Chinese"}, False: {"at home"}}
    assert_problem(wrong, 422, "invalid_body", "/overseas")


def test_a_list_ends_where_relevance_ends(server: Server, source: str) -> None:
    with server.client("staff") as http:
        ids = _suppliers(http, source)
        demand = create(http, "demands", source=source, **QUERY)["id"]
        question = {"demand_id": demand, "clusters": [source]}
        listed = match(http, **question)["items"]
        every = match(http, **question, with_none=True)["items"]
        stored = match(http, **question, store=True)["items"]
        read = http.get(f"/v1/demands/{demand}/matches").json()["items"]
        named = match(http, demand_id=demand, candidates=list(ids.values()))["items"]
        why = http.post("/v1/matches/explain", json=question | {"profile_id": every[-1]["profile"]["id"]}).json()
        asked = question | {"profile_id": every[-1]["profile"]["id"], "with_none": True}
        whole = http.post("/v1/matches/explain", json=asked).json()
    assert "none" not in [item["level"] for item in listed]
    assert [item["level"] for item in every].count("none") == len(every) - len(listed) > 0
    assert [item["profile"]["id"] for item in every][: len(listed)] == [item["profile"]["id"] for item in listed]
    assert [item["profile"]["id"] for item in stored] == [item["profile"]["id"] for item in listed]
    assert read == stored
    assert len(named) == len(ids)
    assert (why["is_listed"], [reason["code"] for reason in why["why_not"]]) == (False, ["level_none"])
    assert (whole["is_listed"], whole["why_not"]) == (True, [])


def test_so_many_of_each_kind_as_asked(server: Server, source: str) -> None:
    with server.client("staff") as http:
        for kind in ("expert", "expert", "expert", "team", "society", "society"):
            create(http, "profiles", source=source, clusters=[source], kind=kind, summary="谐波减速器柔轮疲劳。")
        asked = {"query": QUERY, "clusters": [source]}
        items = match(http, **asked, per_kind={"expert": 2, "society": 1})["items"]
        for wrong in ({}, {"expert": 0}, {"robot": 1}):
            assert http.post("/v1/matches", json=asked | {"per_kind": wrong}).status_code == 422
    assert sorted(item["profile"]["kind"] for item in items) == ["expert", "expert", "society"]
    scores = [item["score"] for item in items]
    assert scores == sorted(scores, reverse=True)
