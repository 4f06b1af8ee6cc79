"""Filters on columns against the same filters read as a sentence."""

import numpy as np
import pytest
from contracts.naive_index import passes
from hypothesis import given, settings
from hypothesis import strategies as st
from index.worlds import DOCUMENTS, FILTERS, N_DIMENSIONS, VERSIONS

from matching_service.index.contract import Document, Facts
from matching_service.index.filters import NO_FILTERS, Filters
from matching_service.index.segment import Segment
from matching_service.index.snapshot import Snapshot, SnapshotPart


def allowed_ids(snapshot, filters):
    allowed = snapshot.allowed(filters)
    assert allowed.dtype == np.bool_
    assert allowed.shape == (snapshot.profile_offsets[-1],)
    return sorted(snapshot.profile_id(int(profile)) for profile in np.flatnonzero(allowed))


@settings(deadline=None, max_examples=150)
@given(DOCUMENTS, DOCUMENTS, FILTERS, st.integers(1, 4))
def test_who_passes_is_who_would_by_a_plain_reading(gone, documents, filters, n_together):
    """In several segments, beside profiles that are gone."""
    lost = Segment.build(gone, n_dimensions=N_DIMENSIONS)
    groups = [documents[start : start + n_together] for start in range(0, len(documents), n_together)]
    parts = [SnapshotPart.of(Segment.build(group, n_dimensions=N_DIMENSIONS)) for group in groups]
    parts.insert(len(parts) // 2, SnapshotPart.of(lost, np.zeros(lost.n_profiles, dtype=np.bool_)))
    snapshot = Snapshot.of_parts(tuple(parts), VERSIONS, as_of=1)
    expected = sorted(d.profile_id for d in documents if passes(d, filters))
    assert allowed_ids(snapshot, filters) == expected
    assert allowed_ids(snapshot, NO_FILTERS) == sorted(document.profile_id for document in documents)


@pytest.mark.parametrize(
    "filters",
    [
        NO_FILTERS,
        Filters(kinds=frozenset({"expert"})),
        Filters(region_prefixes=("44",)),
        Filters(clusters=frozenset({"新材料"})),
        Filters(overseas=True),
        Filters(candidates=frozenset({"a"})),
        Filters(exclude=frozenset({"a"})),
        Filters(excluded_organizations=frozenset({"o1"})),
    ],
    ids=str,
)
def test_an_empty_snapshot_can_be_filtered(filters):
    assert Snapshot.empty(VERSIONS).allowed(filters).tolist() == []


@pytest.mark.parametrize(
    ("prefix", "regions"),
    [
        ("44", ["440000", "440605", "449999"]),
        ("440", ["440000", "440605"]),
        ("440605", ["440605"]),
        ("00", ["000000"]),
        ("45", ["450000"]),
        ("99", []),
    ],
)
def test_a_region_s_prefix_is_of_any_length(prefix, regions):
    everywhere = ["000000", "439999", "440000", "440605", "449999", "450000", None]
    documents = [Document(region or "nowhere", Facts("expert", region=region), ()) for region in everywhere]
    assert allowed_ids(Snapshot.build(documents, VERSIONS), Filters(region_prefixes=(prefix,))) == regions
