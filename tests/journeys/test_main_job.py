"""The main job over HTTP, on the real server: a demand goes in, explained matches come out."""

from conftest import Server


def test_a_posted_profile_is_found_by_the_next_match(server: Server, source: str) -> None:
    """The topic is this test's own: on a shared server, lists on a common one are full."""
    with server.client("staff") as http:
        demand = (
            http.post("/v1/demands", json={"title": "古籍修复纸浆酸化脆裂", "source": source}).raise_for_status().json()
        )
        before = http.post("/v1/matches", json={"demand_id": demand["id"]}).raise_for_status().json()
        profile = {
            "kind": "expert",
            "name": "卓砺川",
            "source": source,
            "summary": "研究古籍修复用纸，擅长手工纸浆的抗酸化处理。",
            "works": [{"kind": "paper", "title": "古籍修复纸浆酸化脆裂的机理", "year": 2024}],
        }
        made = http.post("/v1/profiles", json=profile).raise_for_status().json()
        after = http.post("/v1/matches", json={"demand_id": demand["id"]}).raise_for_status().json()
    assert made["id"] not in [item["profile"]["id"] for item in before["items"]]
    found = next(item for item in after["items"] if item["profile"]["id"] == made["id"])
    assert found["explanation"]["evidence"][0]["work_id"] == made["works"][0]["id"]
    assert "纸浆" in [term["term"] for term in found["explanation"]["terms"]]
    assert abs(sum(part["contribution"] for part in found["explanation"]["parts"]) - found["score"]) < 1e-6
    assert after["index"]["as_of"] > before["index"]["as_of"]
