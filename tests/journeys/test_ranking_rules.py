"""Rules that hold for every list: who comes before whom, what moves a score and why, who is never proposed."""

from collections.abc import Mapping
from datetime import timedelta
from itertools import pairwise
from typing import Any

import httpx
import pytest
from conftest import Server
from http_checks import create, finished_run, is_chinese, match, profile_ids, publish

from matching_service.foundation.clock import today

QUERY = {"title": "谐波减速器柔轮疲劳开裂", "problem": "柔轮齿根出现裂纹，希望延长疲劳寿命。"}
FIT = "谐波减速器柔轮齿根疲劳裂纹与寿命。"
FAR = "草鱼养殖与饲料配方。"
ADJUSTING = ("cluster", "field", "region", "honours", "recency", "availability", "track_record", "nice_to_have")


def _profiles(http: httpx.Client, source: str, fields: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Profiles by a name of the test's own: their names by id."""
    return {create(http, "profiles", source=source, **more)["id"]: name for name, more in fields.items()}


def _ask(http: httpx.Client, names: Mapping[str, str], query: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    """The items of these profiles by name, best first."""
    items = match(http, query=query, candidates=list(names), **more)["items"]
    assert len(items) == len(names)
    return {names[item["profile"]["id"]]: item for item in items}


def _parts(item: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {part["signal"]: part for part in item["explanation"]["parts"]}


class TestMustHave:
    def test_who_has_no_evidence_is_below_all_who_have_it(self, server: Server, source: str) -> None:
        query = QUERY | {"must_have": ["激光雷达"]}
        fields: dict[str, dict[str, Any]] = {
            "fits without it": {"summary": f"{QUERY['title']}。{QUERY['problem']}"},
            "fits with it": {"summary": FIT, "works": [{"title": "激光雷达标定"}]},
            "has it alone": {"summary": "激光雷达点云。"},
            "has nothing": {"summary": FAR},
        }
        with server.client() as http:
            names = _profiles(http, source, fields)
            found = _ask(http, names, query)
            without = _ask(http, names, QUERY)
            first = match(http, query=query, candidates=list(names), explain=False)["items"]
        assert list(found) == ["fits with it", "has it alone", "fits without it", "has nothing"]
        assert [names[item["profile"]["id"]] for item in first] == list(found)
        assert next(iter(without)) == "fits without it"
        missing = {name: item["explanation"]["missing_must_have"] for name, item in found.items()}
        assert missing == {
            "fits with it": [], "has it alone": [], "fits without it": ["激光雷达"], "has nothing": ["激光雷达"],
        }  # fmt: skip
        assert (without["fits without it"]["level"], found["fits without it"]["level"]) == ("strong", "related")
        for name, item in found.items():
            part = _parts(item)["must_have"]
            others = item["score"] - part["contribution"]
            assert part["value"] == (1 if missing[name] else 0)
            assert part["contribution"] == pytest.approx(-0.5 * others if missing[name] else 0)
        work = found["fits with it"]["explanation"]["must_have"][0]
        assert work["state"] == "met"
        assert (work["evidence"]["text"], work["evidence"]["highlights"]) == ("激光雷达标定", [[0, 4]])
        assert found["has nothing"]["explanation"]["must_have"] == [
            {"topic": "激光雷达", "state": "not_met", "evidence": None}
        ]
        assert "未见必备条件『激光雷达』" in found["fits without it"]["explanation"]["reason"]["zh"]
        assert "no evidence for the must-have" in found["fits without it"]["explanation"]["reason"]["en"]

    def test_of_two_each_that_is_missing_is_a_tier_lower(self, server: Server, source: str) -> None:
        query = QUERY | {"must_have": ["激光雷达", "区块链"]}
        fields: dict[str, dict[str, Any]] = {
            "none, fits best": {"summary": f"{QUERY['title']}。{QUERY['problem']}"},
            "second, fits well": {"summary": f"{FIT}区块链。"},
            "first, fits well": {"summary": f"{FIT}激光雷达。"},
            "both in two works": {"works": [{"title": "激光雷达"}, {"title": "区块链存证"}]},
            "both, far off": {"summary": f"{FAR}激光雷达与区块链溯源。"},
        }
        with server.client() as http:
            names = _profiles(http, source, fields)
            found = _ask(http, names, query)
        missing = {name: item["explanation"]["missing_must_have"] for name, item in found.items()}
        assert missing == {
            "none, fits best": ["激光雷达", "区块链"],
            "second, fits well": ["激光雷达"],
            "first, fits well": ["区块链"],
            "both in two works": [],
            "both, far off": [],
        }
        order = list(found)
        assert set(order[:2]) == {"both in two works", "both, far off"}
        assert set(order[2:4]) == {"first, fits well", "second, fits well"}
        assert order[4] == "none, fits best"
        assert {name: _parts(item)["must_have"]["value"] for name, item in found.items()} == {
            name: len(lacking) / 2 for name, lacking in missing.items()
        }

    def test_a_short_list_holds_who_has_it_though_others_fit_better(self, server: Server, source: str) -> None:
        query = QUERY | {"must_have": ["激光雷达"]}
        fits = {f"{n}": {"clusters": [source], "summary": FIT} for n in range(5)}
        with server.client() as http:
            names = _profiles(http, source, fits | {"has it": {"clusters": [source], "summary": "激光雷达点云。"}})
            listed = profile_ids(match(http, query=query, clusters=[source], top_k=1))
        assert [names[profile_id] for profile_id in listed] == ["has it"]

    def test_nice_to_haves_do_not_make_up_for_it(self, server: Server, source: str) -> None:
        query = QUERY | {"must_have": ["激光雷达"], "nice_to_have": ["区块链", "机器视觉"]}
        fields = {
            "nice": {"summary": f"{FIT}区块链。机器视觉。"},
            "must": {"summary": "激光雷达点云。"},
        }
        with server.client() as http:
            found = _ask(http, _profiles(http, source, fields), query)
        assert list(found) == ["must", "nice"]


class TestNiceToHave:
    def test_it_orders_what_is_close_and_nothing_else(self, server: Server, source: str) -> None:
        fields = {
            "lifts nobody": {"summary": "激光雷达与区块链。"},
            "close, neither": {"summary": f"{FIT}茶叶种植，茶叶拼配。"},
            "close, one": {"summary": f"{FIT}茶叶种植，激光雷达。"},
            "close, both": {"summary": f"{FIT}区块链溯源，激光雷达。"},
            "related, both": {"summary": "金属材料的疲劳，激光雷达，区块链。"},
        }
        with server.client() as http:
            names = _profiles(http, source, fields)
            found = _ask(http, names, QUERY | {"nice_to_have": ["激光雷达", "区块链"]})
            without = _ask(http, names, QUERY)
        assert list(found) == ["close, both", "close, one", "close, neither", "related, both", "lifts nobody"]
        assert {name: item["explanation"]["missing_nice_to_have"] for name, item in found.items()} == {
            "close, both": [],
            "close, one": ["区块链"],
            "close, neither": ["激光雷达", "区块链"],
            "related, both": [],
            "lifts nobody": [],
        }
        assert all(item["explanation"]["missing_nice_to_have"] == [] for item in without.values())
        contributions = {name: _parts(item)["nice_to_have"]["contribution"] for name, item in found.items()}
        assert contributions["close, both"] > contributions["close, one"] == 0 > contributions["close, neither"]
        assert contributions["lifts nobody"] == 0
        assert found["lifts nobody"]["level"] == "none"
        for name, item in found.items():
            assert item["explanation"]["missing_must_have"] == []
            assert item["score"] == pytest.approx(without[name]["score"] + contributions[name])


BLOCKS: dict[str, dict[str, Any]] = {
    "own organization": {"organization": "own"},
    "excluded profile": {"exclusion": "profile_id"},
    "profile of an excluded organization": {"exclusion": "organization_id"},
    "available later": {"fields": {"available_from": (today() + timedelta(days=2)).isoformat()}},
    "available no more": {"fields": {"available_until": (today() - timedelta(days=2)).isoformat()}},
    "hidden": {"fields": {"visibility": "hidden"}},
    "withdrawn": {"fields": {"visibility": "withdrawn"}},
}


class TestNeverProposed:
    @pytest.mark.parametrize("block", list(BLOCKS))
    def test_named_pinned_in_a_run_or_in_reverse_the_profile_is_in_no_list(
        self, server: Server, source: str, block: str
    ) -> None:
        how = BLOCKS[block]
        text = f"谐波减速器柔轮 {source}"
        with server.client() as http:
            own, rival = (create(http, "organizations", source=source)["id"] for _ in range(2))
            demand = create(http, "demands", source=source, title=text, organization_id=own)["id"]
            publish(http, demand)
            common = {"source": source, "clusters": [source], "summary": text}
            blocked = create(http, "profiles", organization_id=rival, **common)["id"]
            free = create(http, "profiles", **common)["id"]

            before = match(http, demand_id=demand, candidates=[blocked, free], store=True)
            match_id = next(item["match_id"] for item in before["items"] if item["profile"]["id"] == blocked)
            http.put(f"/v1/matches/{match_id}/decision", json={"decision": "pinned"}).raise_for_status()
            assert blocked in profile_ids(match(http, demand_id=demand, top_k=1, store=True)), "a pin holds"
            assert self._reverse(http, blocked, demand)

            if "organization" in how:
                http.patch(f"/v1/profiles/{blocked}", json={"organization_id": own}).raise_for_status()
            elif "exclusion" in how:
                entry = {"profile_id": blocked, "organization_id": rival}[how["exclusion"]]
                body = {"items": [{how["exclusion"]: entry}]}
                http.put(f"/v1/organizations/{own}/exclusions", json=body).raise_for_status()
            else:
                http.patch(f"/v1/profiles/{blocked}", json=how["fields"]).raise_for_status()

            lists = {
                "in its cluster": match(http, demand_id=demand, clusters=[source], top_k=1_000),
                "as candidate": match(http, demand_id=demand, candidates=[blocked, free]),
                "as the only candidate": match(http, demand_id=demand, candidates=[blocked]),
                "stored": match(http, demand_id=demand, clusters=[source], store=True),
                "stored as candidate": match(http, demand_id=demand, candidates=[blocked, free], store=True),
                "read back": http.get(f"/v1/demands/{demand}/matches").raise_for_status().json(),
            }
            finished_run(http, http.post("/v1/match-runs", json={}).raise_for_status().headers["location"])
            lists["of a run"] = http.get(f"/v1/demands/{demand}/matches").raise_for_status().json()
            reverse = self._reverse(http, blocked, demand)
            assert self._reverse(http, free, demand)
        for name, listed in lists.items():
            assert blocked not in profile_ids(listed), name
            assert (free in profile_ids(listed)) == (name != "as the only candidate"), name
        assert not reverse

    def test_for_another_organization_s_demand_the_exclusion_does_not_hold(self, server: Server, source: str) -> None:
        with server.client() as http:
            own, other, rival = (create(http, "organizations", source=source)["id"] for _ in range(3))
            demand = create(http, "demands", source=source, organization_id=other, **QUERY)["id"]
            names = _profiles(
                http, source, {"listed": {"summary": FIT}, "of the rival": {"summary": FIT, "organization_id": rival}}
            )
            listed = next(profile_id for profile_id, name in names.items() if name == "listed")
            body = {"items": [{"profile_id": listed}, {"organization_id": rival}]}
            http.put(f"/v1/organizations/{own}/exclusions", json=body).raise_for_status()
            found = profile_ids(match(http, demand_id=demand, candidates=list(names)))
            http.put(f"/v1/organizations/{other}/exclusions", json=body).raise_for_status()
            after = profile_ids(match(http, demand_id=demand, candidates=list(names)))
            http.put(f"/v1/organizations/{other}/exclusions", json={"items": []}).raise_for_status()
            again = profile_ids(match(http, demand_id=demand, candidates=list(names)))
        assert set(found) == set(again) == set(names)
        assert after == []

    @pytest.mark.parametrize("field", ["available_from", "available_until"])
    def test_who_is_available_today_is_proposed(self, server: Server, source: str, field: str) -> None:
        with server.client() as http:
            names = _profiles(http, source, {"free": {"summary": FIT, field: today().isoformat()}})
            assert set(_ask(http, names, QUERY)) == {"free"}

    @staticmethod
    def _reverse(http: httpx.Client, profile_id: str, demand_id: str) -> bool:
        """Whether the demand is among those that the profile might answer."""
        answer = http.post(f"/v1/profiles/{profile_id}/matches", json={"top_k": 1_000}).raise_for_status().json()
        return demand_id in [item["demand"]["id"] for item in answer["items"]]


class TestWhatIsKnownBesideTheTopic:
    @pytest.mark.parametrize("weights", [None, dict.fromkeys(ADJUSTING, 1_000)], ids=["default", "extreme"])
    def test_an_academician_off_the_topic_never_passes_a_stranger_on_it(
        self, server: Server, source: str, weights: dict[str, float] | None
    ) -> None:
        asked = {"region": "440605", "cluster": source, "expected_goal": "希望建立院士工作站。"}
        star = {
            "region": "440605", "clusters": [source], "honours": ["中国科学院院士"], "title": "院士", "capacity": 9,
        }  # fmt: skip
        stranger = {"region": "150100", "clusters": ["农业"], "title": "讲师", "capacity": 0}
        fields = {
            "star off the topic": star | {"works": [{"title": "草鱼饲料", "abstract": FAR, "year": today().year}]},
            "stranger": stranger | {"works": [{"title": "柔轮疲劳", "abstract": FIT, "year": 1990}]},
            "star on the topic": star | {"works": [{"title": "柔轮疲劳", "abstract": FIT, "year": today().year}]},
        }
        with server.client() as http:
            found = _ask(http, _profiles(http, source, fields), QUERY | asked, weights=weights)
        assert list(found) == ["star on the topic", "stranger", "star off the topic"]
        assert found["star off the topic"]["level"] == "none"
        parts = _parts(found["star off the topic"])
        assert all(parts[name]["contribution"] == 0 for name in ("cluster", "region", "honours", "recency"))
        parts = _parts(found["stranger"])
        assert all(parts[name]["contribution"] < 0 for name in ("cluster", "honours", "recency", "availability"))
        parts = _parts(found["star on the topic"])
        assert all(parts[name]["contribution"] > 0 for name in ("cluster", "region", "honours", "recency"))

    def test_each_part_tells_its_reason_in_both_languages(self, server: Server, source: str) -> None:
        asked = {"region": "440605", "cluster": source, "expected_goal": "希望与院士合作。"}
        soon = (today() + timedelta(days=20)).isoformat()
        fields: dict[str, dict[str, Any]] = {
            "for": {
                "region": "440605", "clusters": [source], "honours": ["中国工程院院士"], "capacity": 2,
                "works": [{"title": FIT, "year": today().year}],
            },
            "against": {
                "region": "150100", "clusters": ["other"], "honours": ["劳动模范"], "available_until": soon,
                "works": [{"title": FIT, "year": 1990}],
            },
        }  # fmt: skip
        with server.client() as http:
            found = _ask(http, _profiles(http, source, fields), QUERY | asked)
        assert list(found) == ["for", "against"]
        for name, item in found.items():
            parts = _parts(item)
            assert set(parts) == {"lexical", "semantic", "cluster", "region", "honours", "recency", "availability"}
            for signal in ("cluster", "region", "honours", "recency", "availability"):
                reason = parts[signal]["reason"]
                assert set(reason) == {"zh", "en"}, signal
                assert is_chinese(reason["zh"]), signal
                assert signal == "honours" or not is_chinese(reason["en"]), signal
                assert any(letter in "abcdefghijklmnopqrstuvwxyz" for letter in reason["en"]), signal
            assert "院士" in parts["honours"]["reason"]["zh"]
            assert "院士" in parts["honours"]["reason"]["en"]
            assert (source in parts["cluster"]["reason"]["en"]) == (name == "for")
            assert ("1990" in parts["recency"]["reason"]["en"]) == (name == "against")
            assert (soon in parts["availability"]["reason"]["en"]) == (name == "against")

    @pytest.mark.parametrize(
        ("n", "region", "zh"),
        [
            (0, "440605", "同区县"), (1, "440600", "同城市"), (2, "440300", "同省"), (3, "150100", "同在国内"),
        ],
    )  # fmt: skip
    def test_the_nearer_the_more(self, server: Server, source: str, n: int, region: str, zh: str) -> None:
        regions = ("440605", "440600", "440300", "150100")
        with server.client() as http:
            names = _profiles(http, source, {code: {"summary": FIT, "region": code} for code in regions})
            found = _ask(http, names, QUERY | {"region": "440605"})
        assert list(found) == list(regions)
        assert list(found)[n] == region
        assert _parts(found[region])["region"]["reason"]["zh"] == zh
        assert all(a["score"] > b["score"] for a, b in pairwise(found.values()))

    def test_newer_work_comes_first_and_a_full_diary_last(self, server: Server, source: str) -> None:
        works = {str(year): {"works": [{"title": FIT, "year": year}]} for year in (1990, today().year, 2018)}
        with server.client() as http:
            by_year = _ask(http, _profiles(http, source, works), QUERY)
            by_capacity = _ask(
                http, _profiles(http, source, {f"{n}": {"summary": FIT, "capacity": n} for n in (0, 3)}), QUERY
            )
        assert list(by_year) == [str(today().year), "2018", "1990"]
        assert list(by_capacity) == ["3", "0"]
        assert _parts(by_capacity["3"])["availability"]["contribution"] == 0

    def test_what_is_not_known_leaves_the_score_as_it_is(self, server: Server, source: str) -> None:
        asked = {"region": "440605", "cluster": source}
        fields: dict[str, dict[str, Any]] = {
            "nothing known": {"summary": FIT},
            "abroad": {"summary": FIT, "country": "DE"},
            "elsewhere in the country": {"summary": FIT, "region": "150100"},
            "free": {"summary": FIT, "capacity": 3},
            "an honour that is not asked for": {"summary": FIT, "honours": ["中国科学院院士"]},
        }
        with server.client() as http:
            names = _profiles(http, source, fields)
            plain, found = _ask(http, names, QUERY), _ask(http, names, QUERY | asked)
        scores = {item["score"] for answer in (plain, found) for item in answer.values()}
        assert len(scores) == 1
        assert set(_parts(found["nothing known"])) == {"lexical", "semantic"}
        for name in ("abroad", "elsewhere in the country"):
            part = _parts(found[name])["region"]
            assert (part["value"], part["contribution"]) == (0, 0)
            assert is_chinese(part["reason"]["zh"])
            assert not is_chinese(part["reason"]["en"])
            assert "region" not in _parts(plain[name])
        assert "DE" in _parts(found["abroad"])["region"]["reason"]["zh"]

    def test_a_year_or_an_honour_that_is_not_known_is_between_good_and_bad(self, server: Server, source: str) -> None:
        fields: dict[str, dict[str, Any]] = {
            "old": {"works": [{"title": FIT, "year": 1990}]},
            "unknown": {"works": [{"title": FIT}]},
            "new": {"works": [{"title": FIT, "year": today().year}]},
        }
        honours: dict[str, dict[str, Any]] = {
            "another": {"summary": FIT, "honours": ["劳动模范"]},
            "unknown": {"summary": FIT},
            "asked for": {"summary": FIT, "honours": ["中国科学院院士"]},
        }
        with server.client() as http:
            by_year = _ask(http, _profiles(http, source, fields), QUERY)
            by_honour = _ask(http, _profiles(http, source, honours), QUERY | {"expected_goal": "希望与院士合作。"})
        assert list(by_year) == ["new", "unknown", "old"]
        assert list(by_honour) == ["asked for", "unknown", "another"]
        assert "recency" not in _parts(by_year["unknown"])
        assert "honours" not in _parts(by_honour["unknown"])


OVERSEAS = {
    "en": ("US", "Fatigue life of the flexspline in harmonic drive reducers; crack initiation at the tooth root."),
    "de": ("DE", "Ermüdungsfestigkeit und Rissbildung der flexiblen Zahnräder in Wellgetrieben."),
    "ru": ("RU", "Усталостная прочность и трещины гибкого колеса волнового редуктора."),
}


class TestOverseas:
    @pytest.mark.parametrize("language", list(OVERSEAS))
    def test_an_expert_who_writes_another_language_is_found_by_a_chinese_demand(
        self, server: Server, source: str, language: str
    ) -> None:
        country, text = OVERSEAS[language]
        fields: dict[str, dict[str, Any]] = {
            text: {"summary": text} for text in (FAR, "茶叶种植与加工。", "民法与合同法研究。")
        }
        fields["overseas"] = {"country": country, "language": language, "name": "A. N. Other", "summary": text}
        fields = {name: more | {"clusters": [source]} for name, more in fields.items()}
        with server.client() as http:
            names = _profiles(http, source, fields)
            demand = create(http, "demands", source=source, region="440605", **QUERY)["id"]
            items = match(http, demand_id=demand, clusters=[source])["items"]
            strict = _ask(http, names, QUERY | {"must_have": ["谐波减速器"]})
        assert names[items[0]["profile"]["id"]] == "overseas"
        assert items[0]["level"] in {"strong", "related"}
        assert all(item["level"] == "none" for item in items[1:])
        explanation = items[0]["explanation"]
        assert _parts(items[0])["region"]["contribution"] == 0
        assert all(term["term"] in "".join(QUERY.values()) for term in explanation["terms"])  # names of the lexicon
        assert [text.startswith(evidence["text"]) for evidence in explanation["evidence"]] == [True]
        assert bool(explanation["evidence"][0]["highlights"]) == bool(explanation["terms"])
        assert next(iter(strict)) == "overseas"
        (must_have,) = strict["overseas"]["explanation"]["must_have"]
        assert must_have["state"] in {"met", "not_verified"}
        assert must_have["evidence"]["text"]
        assert strict["overseas"]["explanation"]["missing_must_have"] == []
        assert all(
            item["explanation"]["missing_must_have"] == ["谐波减速器"]
            for name, item in strict.items()
            if name != "overseas"
        )

    def test_a_foreign_text_off_the_topic_is_not_lifted_for_being_foreign(self, server: Server, source: str) -> None:
        fields = {
            "on the topic": {"summary": FIT},
            "en": {"country": "GB", "language": "en", "summary": "Feeding of grass carp and brewing of tea."},
            "de": {"country": "DE", "language": "de", "summary": "Mietrecht und Erbrecht, Kommentar."},
            "ru": {"country": "RU", "language": "ru", "summary": "Поэзия девятнадцатого века."},
        }
        with server.client() as http:
            found = _ask(http, _profiles(http, source, fields), QUERY | {"must_have": ["谐波减速器"]})
        assert next(iter(found)) == "on the topic"
        for name in ("en", "de", "ru"):
            assert found[name]["level"] == "none"
            assert found[name]["explanation"]["missing_must_have"] == ["谐波减速器"]
