"""The board in memory always agrees with the database, and its search handles Chinese."""

from datetime import date, timedelta
from typing import Any

import pytest

from matching_service.access.policies import COMMAND_LINE
from matching_service.board.listing import Board
from matching_service.demands.queries import get_demand
from matching_service.demands.schemas import DemandCreate, DemandPatch
from matching_service.demands.service import create_demand, update_demand
from matching_service.demands.states import DemandStatus
from matching_service.demands.transitions import adopt_status
from matching_service.foundation.clock import today
from matching_service.foundation.errors import NotFound
from matching_service.store.database import Database

S = DemandStatus


async def publish(database: Database, title: str, status: S = S.PUBLISHED, **fields: Any) -> str:
    async with database.transaction() as session:
        row = await create_demand(session, DemandCreate(title=title, **fields), COMMAND_LINE)
        await adopt_status(session, row, status, actor=COMMAND_LINE)
        return row.id


async def titles(board: Board, q: str | None = None, *, on: date | None = None, **filters: str) -> list[str]:
    all_filters = dict.fromkeys(("cluster", "region", "industry_code")) | filters
    return [entry.demand.title for entry in (await board.listing()).find(on=on or today(), q=q, **all_filters)]


async def test_only_open_public_demands_are_listed_the_newest_publication_first(database: Database) -> None:
    board = Board(database)
    assert await titles(board) == []
    for status in S:
        await publish(database, status, status)
    await publish(database, "受限", visibility="restricted")
    async with database.transaction() as session:  # created first, published last
        early = await create_demand(session, DemandCreate(title="先建后发"), COMMAND_LINE)
    await publish(database, "后建先发")
    async with database.transaction() as session:
        await adopt_status(session, await get_demand(session, early.id), S.PUBLISHED, actor=COMMAND_LINE)
    assert await titles(board) == ["先建后发", "后建先发", "matching", "published"]


async def test_every_change_is_visible_at_once_and_changes_the_etag(database: Database) -> None:
    board, other = Board(database), Board(database)
    demand_id = await publish(database, "柔轮开裂")
    first = (await board.listing()).etag(today())
    assert (await board.listing()) is await board.listing()
    assert (await other.listing()).etag(today()) == first  # equal in every process
    async with database.transaction() as session:
        await update_demand(session, await get_demand(session, demand_id), DemandPatch(title="齿根开裂"), COMMAND_LINE)
    assert await titles(board) == ["齿根开裂"]
    assert (await board.listing()).etag(today()) != first
    async with database.transaction() as session:
        row = await get_demand(session, demand_id)
        await update_demand(session, row, DemandPatch(visibility="restricted"), COMMAND_LINE)
    assert await titles(board) == []
    with pytest.raises(NotFound):
        (await board.listing()).get(demand_id, on=today())


async def test_an_expired_demand_leaves_the_board_before_the_nightly_job(database: Database) -> None:
    board = Board(database)
    demand_id = await publish(database, "柔轮开裂", expires_on=today())
    tomorrow = today() + timedelta(days=1)
    assert await titles(board) == ["柔轮开裂"]
    assert await titles(board, on=tomorrow) == []
    listing = await board.listing()
    assert listing.get(demand_id, on=today()).title == "柔轮开裂"
    with pytest.raises(NotFound):
        listing.get(demand_id, on=tomorrow)
    assert listing.etag(tomorrow) != listing.etag(today())


async def test_the_list_is_filtered(database: Database) -> None:
    board = Board(database)
    await publish(database, "水泵", cluster="装备制造", region="440605", industry_code="C3441")
    await publish(database, "陶瓷", cluster="新材料", region="510100", industry_code="C3073")
    assert await titles(board, cluster="新材料") == ["陶瓷"]
    assert await titles(board, region="44") == ["水泵"]
    assert await titles(board, industry_code="C") == ["陶瓷", "水泵"]
    assert await titles(board, industry_code="C34", region="51") == []


@pytest.mark.parametrize(
    ("q", "is_found"),
    [
        ("工具箱", True),
        ("测试", True),  # a word inside a compound
        ("箱 测试", True),  # both words, in any order
        ("测试 水泵", False),
        ("測試", True),  # traditional
        ("ＰＬＣ", True),  # full-width, another case
        ("plc", True),
        ("可编程控制器", True),  # a synonym
        ("泵", False),
        ("铝", True),  # one character
        ("策试", False),  # a homophone is not the word
        ("1米", True),  # a quantity written another way
        ("%", False),
        ("_", False),
    ],
)
async def test_words_are_found_the_way_people_write_them(database: Database, q: str, *, is_found: bool) -> None:
    board = Board(database)
    await publish(database, "测试工具箱", problem="PLC控制的铝型材，长度1000mm")
    assert bool(await titles(board, q)) == is_found
