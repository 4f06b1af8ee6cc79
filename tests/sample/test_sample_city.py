"""The sample city is large, valid and labelled, and contains no contact data."""

import csv
import json
import re
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from matching_service import sample
from matching_service.demands.schemas import DemandImport
from matching_service.evaluation.judgements import read_judgements
from matching_service.jobs.demo import SHOWN_DEMANDS
from matching_service.organizations.schemas import OrganizationImport
from matching_service.profiles.schemas import KIND_NAMES, ProfileImport
from matching_service.profiles.societies import builtin_societies

REAL_SOCIETIES = Path(__file__).parents[2].parent / "shared" / "data" / "societies.csv"
CONTACT = re.compile(
    r"[\w.+-]+@[\w-]+\.\w+|(?<!\d)1[3-9]\d{9}(?!\d)|(?<!\d)0\d{2,3}[- ]\d{7,8}(?!\d)|\+\d{2}[- ]?\d{6,}"
)


@cache
def rows(path: Path) -> tuple[dict[str, Any], ...]:
    return tuple(json.loads(line) for line in path.read_text(encoding="utf-8").splitlines())


def ids(path: Path) -> list[str]:
    return [row["external_id"] for row in rows(path)]


@pytest.mark.parametrize(
    ("path", "model"),
    [
        (sample.DEMANDS, DemandImport),
        (sample.PROFILES, ProfileImport),
        (sample.ORGANIZATIONS, OrganizationImport),
    ],
    ids=["demands", "profiles", "organizations"],
)
def test_every_row_is_valid_and_has_an_id_of_its_own(path: Path, model: Any) -> None:
    for row in rows(path):
        model.model_validate(row)
        assert row["source"] == "sample"
    assert len(set(ids(path))) == len(rows(path))


def test_demands_are_many_published_and_of_eight_clusters() -> None:
    demands = rows(sample.DEMANDS)
    assert len(demands) >= 60
    per_cluster = Counter(demand["cluster"] for demand in demands)
    assert len(per_cluster) == 8
    assert min(per_cluster.values()) >= 4
    assert all(demand["status"] == "published" for demand in demands)
    detailed = [demand for demand in demands if len(demand.get("problem") or "") >= 50]
    assert len(detailed) >= 60  # the others are terse, like real ones


def test_profiles_are_many_and_of_every_kind() -> None:
    kinds = Counter(profile["kind"] for profile in rows(sample.PROFILES))
    assert sum(kinds.values()) >= 200
    in_directory = {society.kind for society in builtin_societies()}
    assert set(kinds) | in_directory == set(KIND_NAMES)


def test_overseas_profiles_write_in_six_languages() -> None:
    overseas = [profile for profile in rows(sample.PROFILES) if profile["country"] != "CN"]
    assert len(overseas) >= 40
    assert {profile["language"] for profile in overseas} >= {"en", "de", "ja", "ru", "fr", "ko"}


def test_profiles_and_demands_belong_to_organizations_that_exist() -> None:
    organizations = set(ids(sample.ORGANIZATIONS))
    named = {row.get("organization_external_id") for path in (sample.DEMANDS, sample.PROFILES) for row in rows(path)}
    assert named - {None} <= organizations
    assert all(row.get("organization_external_id") for row in rows(sample.DEMANDS))


def test_labels_name_rows_that_exist() -> None:
    judgements = read_judgements(sample.RELEVANCE)
    societies = {society.external_id for society in builtin_societies()}
    assert len(judgements) >= 40
    assert set(judgements) <= set(ids(sample.DEMANDS))
    judged = {profile_id for grades in judgements.values() for profile_id in grades}
    assert judged <= set(ids(sample.PROFILES)) | societies
    assert {grade for grades in judgements.values() for grade in grades.values()} == {0, 1, 2, 3}
    assert sum(max(grades.values()) >= 2 for grades in judgements.values()) >= 40


def test_the_demo_shows_demands_that_exist() -> None:
    assert set(SHOWN_DEMANDS) <= set(ids(sample.DEMANDS))
    clusters = {row["cluster"] for row in rows(sample.DEMANDS) if row["external_id"] in SHOWN_DEMANDS}
    assert len(clusters) == 3


@pytest.mark.parametrize("path", [sample.DEMANDS, sample.PROFILES, sample.ORGANIZATIONS], ids=lambda path: path.stem)
def test_the_sample_contains_no_contact_data(path: Path) -> None:
    hits = [(row["external_id"], hit.group()) for row in rows(path) if (hit := CONTACT.search(json.dumps(row)))]
    hits += [(row["external_id"], hit.group()) for row in rows(path) if (hit := CONTACT.search(str(row)))]
    assert hits == []


def test_the_directory_of_societies_is_complete() -> None:
    societies = list(builtin_societies())
    assert len(societies) == 209
    assert len({society.external_id for society in societies}) == len({society.name for society in societies}) == 209
    lengths = {society.external_id: len(society.summary or "") for society in societies}
    assert {code: length for code, length in lengths.items() if not 60 <= length <= 150} == {}
    assert all(len(society.keywords) >= 3 and society.kind == "society" for society in societies)
    assert not [society.name for society in societies if CONTACT.search(society.summary or "")]


def test_the_directory_of_societies_is_the_real_one() -> None:
    if not REAL_SOCIETIES.exists():
        pytest.skip(f"{REAL_SOCIETIES} is absent; codes and names of the societies are not compared")
    with REAL_SOCIETIES.open(encoding="utf-8-sig", newline="") as file:
        real = {(row["code"], row["name"], row["category"]) for row in csv.DictReader(file)}
    assert {(s.external_id, s.name, s.fields[0]) for s in builtin_societies()} == real
