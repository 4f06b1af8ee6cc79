"""Every form of the index passes the same tests."""

import pytest
from contracts.index_contract import FormContract, IndexContract
from contracts.naive_index import NaiveIndex

from matching_service.index import segment, snapshot
from matching_service.index.snapshot import Snapshot


class TestSnapshot(IndexContract):
    @pytest.fixture(scope="class")
    @classmethod
    def make(cls):
        return Snapshot.build


class TestSnapshotOfManySegments(IndexContract):
    """Each holds a few passages, and they are seldom merged."""

    @pytest.fixture(scope="class")
    @classmethod
    def make(cls):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(segment, "MAX_ROWS", 9)
            patch.setattr(snapshot, "_MERGE_AT_ONCE", 0)
            yield Snapshot.build


class TestNaiveIndex(IndexContract):
    @pytest.fixture(scope="class")
    @classmethod
    def make(cls):
        return NaiveIndex.build


class TestSnapshotAsForm(FormContract):
    @pytest.fixture(scope="class")
    @classmethod
    def form(cls):
        return Snapshot


class TestNaiveIndexAsForm(FormContract):
    @pytest.fixture(scope="class")
    @classmethod
    def form(cls):
        return NaiveIndex
