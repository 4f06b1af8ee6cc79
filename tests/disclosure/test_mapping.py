"""Field mappings: what goes out comes back in, and a mistake in the file is named before anything is sent."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matching_service.disclosure.mapping import EntityMapping, find_mapping, load_mappings
from matching_service.disclosure.representations import FIELDS
from matching_service.disclosure.schemas import FeedItem
from matching_service.foundation.errors import InvalidInput

EXAMPLE = Path(__file__).parents[2] / "docs" / "exchange.md"
KCZG = """
[kczg.demand.fields]
id = "demandId"
title = "base.xqmc"
status = "zt"
keywords = "gjc"
cooperation = "fs"
organization.name = "qy.mc"
"organization.credit_code" = "qy.xydm"

[kczg.demand.values]
status = { published = "1", matching = "1", closed = "9", "*" = "0" }
cooperation = { joint = 3, other = 4 }

[kczg.demand.constants]
base.pt = "佛山"
version = 2
"""


def load(tmp_path: Path, text: str) -> Any:
    path = tmp_path / "mapping.toml"
    path.write_text(text, encoding="utf-8")
    return load_mappings(path)


def test_a_record_is_translated(tmp_path: Path) -> None:
    mapping = load(tmp_path, KCZG)["kczg"]["demand"]
    ours = {
        "id": "d", "title": "谐波减速器", "status": "matching", "keywords": ["a", "b"], "cooperation": "joint",
        "organization": {"name": "某厂", "credit_code": None, "region": "440605"}, "problem": "不外传",
    }  # fmt: skip
    theirs = {
        "demandId": "d", "base": {"xqmc": "谐波减速器", "pt": "佛山"}, "zt": "1", "gjc": ["a", "b"], "fs": 3,
        "qy": {"mc": "某厂", "xydm": None}, "version": 2,
    }  # fmt: skip
    assert mapping.outward(ours) == theirs
    assert mapping.inward(theirs | {"unknown": 1}) == {
        "id": "d", "title": "谐波减速器", "status": "published", "keywords": ["a", "b"], "cooperation": "joint",
        "organization": {"name": "某厂", "credit_code": None},
    }  # fmt: skip


def test_other_codes_have_a_code_of_their_own_or_stay(tmp_path: Path) -> None:
    mapping = load(tmp_path, KCZG)["kczg"]["demand"]
    assert mapping.outward({"status": "draft", "cooperation": "independent"})["zt"] == "0"
    assert mapping.outward({"status": "draft", "cooperation": "independent"})["fs"] == "independent"
    assert mapping.outward({"status": None})["zt"] is None
    assert mapping.inward({"zt": "0"}) == {"status": "0"}  # refused later, by the record's own rules
    assert mapping.inward({"zt": {"odd": 1}}) == {"status": {"odd": 1}}


def test_a_record_without_an_organization(tmp_path: Path) -> None:
    mapping = load(tmp_path, KCZG)["kczg"]["demand"]
    theirs = mapping.outward({"id": "d", "organization": None})
    assert theirs["qy"] == {"mc": None, "xydm": None}
    assert mapping.inward(theirs)["organization"] == {"name": None, "credit_code": None}
    assert "organization" not in mapping.inward({"demandId": "d", "qy": None})


@given(st.dictionaries(st.sampled_from(sorted(FIELDS["profile"] - {"organization"})), st.uuids().map(str), min_size=1),
       st.dictionaries(st.sampled_from("abc"), st.integers(), min_size=1))  # fmt: skip
def test_inward_undoes_outward_where_codes_are_one_to_one(names: dict[str, str], codes: dict[str, int]) -> None:
    if len(set(codes.values())) < len(codes):
        return
    field = min(names)
    mapping = EntityMapping(fields=names, values={field: {**codes}})
    for code in codes:
        data: dict[str, Any] = {}
        for name in names:
            if name.startswith("organization."):
                data.setdefault("organization", {})[name.partition(".")[2]] = "x"
            else:
                data[name] = ["x"]
        if not field.startswith("organization."):
            data[field] = [code, code]
        assert mapping.inward(mapping.outward(data)) == data


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[a.demand.fields]\ntitel = 't'", "titel"),
        ("[a.demands.fields]\ntitle = 't'", "demands"),
        ("[a.demand.fields]\ntitle = 1", "a.demand.fields.title"),
        ("[a.demand.fields]\ntitle = ''", "a.demand.fields.title"),
        ("[a.demand.fields]\ntitle = 't'\nproblem = 't'", "twice: t, t"),
        ("[a.demand.fields]\ntitle = 't'\nproblem = 't.x'", "twice: t.x, t"),
        ("[a.demand.fields]\ntitle = 't'\n[a.demand.constants]\nt = 1", "twice: t, t"),
        ("[a.demand.fields]\ntitle = 't'\n[a.demand.values]\nstatus = {draft = '0'}", "status"),
        ("[a.demand.fields]\nstatus = 't'\n[a.demand.values]\nstatus = {draft = [1]}", "a.demand.values.status.draft"),
        ("[a.demand.fields]\ntitle = 't'\n[a.demand.drop]\nx = 1", "a.demand.drop"),
        ("[a.demand.values]\nstatus = {draft = '0'}", "a.demand.fields"),
        ("a = 1", "[a]"),
        ("[a]\ndemand = 1", "[a.demand]"),
        ("[a", "Expected"),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, text: str, expected: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        load(tmp_path, text)
    assert refused.value.code == "invalid_mapping"
    assert expected in refused.value.detail.zh
    assert expected in refused.value.detail.en
    assert "mapping.toml" in refused.value.detail.en


def test_every_mistake_is_named_at_once(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput) as refused:
        load(tmp_path, "[a.demand.fields]\ntitel = 't'\n[b.profile.fields]\nnmae = 't'")
    assert "titel" in refused.value.detail.en
    assert "nmae" in refused.value.detail.en


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing.toml"):
        with pytest.raises(InvalidInput):
            load_mappings(path)
    (tmp_path / "gbk.toml").write_bytes("[a.demand.fields]\ntitle = '名称'".encode("gb18030"))
    with pytest.raises(InvalidInput):
        load_mappings(tmp_path / "gbk.toml")


def test_no_file_means_no_mapping() -> None:
    assert load_mappings(None) == {}
    with pytest.raises(InvalidInput) as refused:
        find_mapping({}, "kczg")
    assert refused.value.code == "unknown_mapping"


def test_the_example_of_the_document_is_valid_and_says_what_it_does(tmp_path: Path) -> None:
    """docs/exchange.md shows a mapping, a record of ours, and the record as it is sent."""
    document = EXAMPLE.read_text(encoding="utf-8")
    mapping = load(tmp_path, document.split("```toml\n")[1].split("```")[0])["kczg"]["demand"]
    ours, theirs = (json.loads(part.split("```")[0]) for part in document.split("```json\n")[1:3])
    assert mapping.outward(ours["data"]) == theirs["data"]
    assert set(FeedItem.model_validate(ours).model_dump()) == set(ours)
    shown = set(ours["data"]) | {f"organization.{name}" for name in ours["data"]["organization"]}
    assert shown == FIELDS["demand"] - {"origin"}  # which only the office sees
