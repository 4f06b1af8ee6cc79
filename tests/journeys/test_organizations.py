"""Organizations over HTTP."""

import secrets

import pytest
from conftest import Server
from http_checks import UNKNOWN_ID, assert_problem, create, read_all

from matching_service.organizations.credit_code import check_character

PATH = "/v1/organizations"


def _credit_code() -> str:
    """A valid code that no other test has."""
    body = "9" + "".join(secrets.choice("0123456789ABCDEFGHJKLMNPQRTUWXY") for _ in range(16))
    return body + check_character(body)


def test_an_unknown_organization_cannot_be_changed(server: Server) -> None:
    with server.client() as http:
        assert_problem(http.patch(f"{PATH}/{UNKNOWN_ID}", json={"name": "a"}), 404, "organization_not_found")


@pytest.mark.parametrize(
    ("change", "pointer"),
    [({"name": None}, "/name"), ({"name": " "}, "/name"), ({"kind": None}, "/kind"), ({"source": "x"}, "/source")],
)
def test_a_change_that_would_leave_no_organization_is_refused(
    server: Server, source: str, change: dict[str, object], pointer: str
) -> None:
    with server.client() as http:
        made = create(http, "organizations", source=source)
        assert_problem(http.patch(f"{PATH}/{made['id']}", json=change), 422, "invalid_body", pointer)


def test_external_id_and_credit_code_are_unique(server: Server, source: str) -> None:
    code = _credit_code()
    with server.client() as http:
        first = create(http, "organizations", source=source, external_id="1", credit_code=code)
        second = create(http, "organizations", source=source, external_id="2")
        same_id = http.post(PATH, json={"name": "乙", "source": source, "external_id": "1"})
        same_code = http.post(PATH, json={"name": "乙", "source": source, "credit_code": code})
        changed_to_same = http.patch(f"{PATH}/{second['id']}", json={"credit_code": code})
        own = http.patch(f"{PATH}/{first['id']}", json={"credit_code": code})
        create(http, "organizations", source=f"{source}b", external_id="1")
    assert first["id"] in assert_problem(same_id, 409, "external_id_taken", "/external_id")["detail"]
    for answer in (same_code, changed_to_same):
        assert_problem(answer, 409, "credit_code_taken", "/credit_code")
    assert own.status_code == 200


def test_a_version_that_is_not_the_newest_is_not_overwritten(server: Server, source: str) -> None:
    with server.client() as http:
        made = http.post(PATH, json={"name": "甲", "source": source})
        path, seen = made.headers["location"], {"If-Match": made.headers["etag"]}
        changed = http.patch(path, json={"name": "乙"}, headers=seen)
        late = http.patch(path, json={"name": "丙"}, headers=seen)
        read = http.get(path)
    assert changed.status_code == 200
    assert changed.headers["etag"] == read.headers["etag"] != made.headers["etag"]
    assert_problem(late, 412, "etag_mismatch")
    assert read.json()["name"] == "乙"


def test_what_was_stored_is_read_back(server: Server, source: str) -> None:
    body = {
        "external_id": "ORG-1",
        "source": source,
        "name": "佛山市某精密传动有限公司",
        "kind": "institute",
        "credit_code": _credit_code(),
        "region": "440605",
        "introduction": "生产谐波减速器。",
    }
    with server.client("portal") as http:
        made = http.post(PATH, json=body)
        read = http.get(made.headers["location"])
    assert made.status_code == 201
    assert made.json() == read.json() | {"similar": made.json()["similar"]}
    assert made.headers["etag"] == read.headers["etag"]
    assert body.items() <= read.json().items()


def test_a_credit_code_may_be_written_in_small_letters(server: Server, source: str) -> None:
    code = _credit_code()
    with server.client() as http:
        made = create(http, "organizations", source=source, credit_code=f" {code.lower()} ")
    assert made["credit_code"] == code


def test_a_change_keeps_what_is_not_sent_and_empties_what_is_null(server: Server, source: str) -> None:
    with server.client() as http:
        made = create(http, "organizations", source=source, region="440605", introduction="甲")
        read = http.patch(f"{PATH}/{made['id']}", json={"introduction": None}).json()
    assert read["introduction"] is None
    assert (read["region"], read["name"]) == ("440605", made["name"])


def test_the_list_is_filtered_and_paged(server: Server, source: str) -> None:
    with server.client() as http:
        made = [create(http, "organizations", name=f"{source} {n}", region=f"44060{n}")["id"] for n in range(5)]
        assert [row["id"] for row in read_all(http, PATH, q=source.upper(), limit=2)] == made[::-1]
        assert [row["id"] for row in read_all(http, PATH, q=source, region="440603")] == [made[3]]
        assert len(read_all(http, PATH, q=source, region="4406")) == 5
        assert read_all(http, PATH, q=f"{source} %") == []


def test_two_records_of_one_firm_are_found_and_become_one(server: Server, source: str) -> None:
    word = source[-6:]
    name = f"佛山市{word}精密传动有限公司"
    with server.client("portal") as http, server.client("staff") as staff:
        first = create(http, "organizations", source=source, external_id="1", name=name, cluster="新材料")
        asked = http.get(f"{PATH}/similar", params={"name": f"佛山{word}精密传动公司"}).json()["items"]
        second = create(http, "organizations", source=source, external_id="2", name=f"佛山{word}精密传动有限公司")
        demand = create(http, "demands", source=source, organization_id=second["id"])
        pairs = http.get(f"{PATH}/duplicates", params={"limit": 200}).json()["items"]
        path = f"{PATH}/{second['id']}"
        assert_problem(http.post(f"{path}/merge", json={"into": first["id"]}), 403, "forbidden")
        assert_problem(
            staff.post(f"{path}/merge", json={"into": first["id"]}, headers={"If-Match": '"7"'}), 412, "etag_mismatch"
        )
        merged = staff.post(f"{path}/merge", json={"into": first["id"]})
        read = http.get(path)
        changed = http.patch(path, json={"name": "新名"})
        listed = read_all(http, PATH, q=word)
        in_cluster = read_all(http, PATH, q=word, cluster="新材料", kind="enterprise")
        moved = http.get(f"/v1/demands/{demand['id']}").json()
    assert asked[0]["organization"]["id"] == first["id"]
    assert {first["id"], second["id"]} in [{one["id"] for one in pair["organizations"]} for pair in pairs]
    assert merged.status_code == 200, merged.text
    assert merged.json() == read.json()
    assert (read.json()["id"], read.headers["content-location"]) == (first["id"], f"{PATH}/{first['id']}")
    assert first["id"] in assert_problem(changed, 409, "organization_merged")["detail"]
    assert [row["id"] for row in listed] == [row["id"] for row in in_cluster] == [first["id"]]
    assert moved["organization_id"] == first["id"]


def test_a_new_organization_is_told_of_those_that_may_be_the_same(server: Server, source: str) -> None:
    name = f"佛山市{source}液压机械有限公司"
    with server.client("portal") as http:
        first = http.post("/v1/organizations", json={"name": name, "source": source}).raise_for_status().json()
        twin = (
            http.post("/v1/organizations", json={"name": f"佛山{source}液压机械股份有限公司"}).raise_for_status().json()
        )
        other = http.post("/v1/organizations", json={"name": "全然不同的鸡蛋合作社"}).raise_for_status().json()
    assert first["id"] not in [one["organization"]["id"] for one in first["similar"]]
    assert twin["similar"][0]["organization"]["id"] == first["id"]
    assert twin["similar"][0]["likeness"] > 0.65
    assert first["id"] not in [one["organization"]["id"] for one in other["similar"]]
