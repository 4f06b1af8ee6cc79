"""HTTP routes of the bounty board. They need no API key."""

from datetime import UTC, datetime, time
from typing import Annotated, Any
from urllib.parse import urlencode

from anyio import to_thread
from fastapi import APIRouter, Depends, Header, Query, Request, Response

from matching_service.api.deps import PageDep, ReadSession, names_tag
from matching_service.api.fields import IN_REGION, Blank, RegionPrefix, Search, Topic
from matching_service.api.pages import ListAnswer
from matching_service.api.problems import problem_responses
from matching_service.api.services import services_of
from matching_service.board.feed import MAX_ENTRIES, atom_feed
from matching_service.board.listing import Board, Entry, Listing
from matching_service.board.schemas import BoardDemand
from matching_service.demands.schemas import IndustryCode
from matching_service.foundation.clock import today
from matching_service.foundation.paging import page_of
from matching_service.foundation.settings import Settings
from matching_service.store.demands import DemandRow
from matching_service.store.lookup import get_row

router = APIRouter(prefix="/v1", tags=["board"])

_MAX_AGE_S = 60
_UNCHANGED: dict[int | str, dict[str, Any]] = {
    304: {"description": "The board has not changed since the `ETag` in `If-None-Match`."}
}


async def _listing(request: Request) -> Listing:
    return await services_of(request).get(Board).listing()


async def _matching_entries(
    listing: Annotated[Listing, Depends(_listing)],
    q: Annotated[Search | None, Blank, Query(description="All words must match; synonyms count.")] = None,
    cluster: Annotated[Topic | None, Blank, Query(description="Exact name of the cluster.")] = None,
    region: Annotated[
        RegionPrefix | None,
        Blank,
        Query(description=IN_REGION),
    ] = None,
    industry_code: Annotated[IndustryCode | None, Blank, Query(description="GB/T 4754 code, or its beginning.")] = None,
) -> list[Entry]:
    def find() -> list[Entry]:
        return list(listing.find(on=today(), q=q, cluster=cluster, region=region, industry_code=industry_code))

    return await to_thread.run_sync(find)  # the public may ask for many words of a long list


ListingDep = Annotated[Listing, Depends(_listing)]
MatchingEntries = Annotated[list[Entry], Depends(_matching_entries)]
IfNoneMatch = Annotated[str | None, Header(description="The `ETag` of an earlier answer; 304 if nothing has changed.")]


@router.get("/board", response_model=ListAnswer[BoardDemand], responses=_UNCHANGED)
async def read_board(
    listing: ListingDep,
    entries: MatchingEntries,
    page: PageDep,
    session: ReadSession,
    response: Response,
    if_none_match: IfNoneMatch = None,
) -> ListAnswer[BoardDemand] | Response:
    """List the public open demands, newest publication first. No key is needed."""
    if _is_unchanged(listing, if_none_match, response):
        return Response(status_code=304, headers=dict(response.headers))
    after = await get_row(session, DemandRow, page.after) if page.after is not None else None
    if after is not None and after.published_at is not None:
        last = (after.published_at, after.id)
        entries = [entry for entry in entries if entry.sort_key < last]
    shown = page_of([entry.demand for entry in entries[: page.limit + 1]], page.limit, lambda demand: demand.id)
    return ListAnswer(items=list(shown.items), next_cursor=shown.next_cursor)


@router.get(
    "/board.atom", response_class=Response, responses=_UNCHANGED | {200: {"content": {"application/atom+xml": {}}}}
)
async def read_board_feed(
    request: Request,
    listing: ListingDep,
    entries: MatchingEntries,
    response: Response,
    if_none_match: IfNoneMatch = None,
) -> Response:
    """Return the newest 50 demands as an Atom feed. No key is needed."""
    if _is_unchanged(listing, if_none_match, response):
        return Response(status_code=304, headers=dict(response.headers))
    url = f"{services_of(request).get(Settings).public_url}{router.prefix}/board"  # never from the header Host
    started = datetime.combine(today(), time(), UTC)  # before the first demand: a day that does not change by the hour
    feed = atom_feed(
        [entry.demand for entry in entries[:MAX_ENTRIES]],
        url=url,
        query=_canonical(request),
        changed_at=listing.changed_at or started,
    )
    return Response(feed, headers=dict(response.headers), media_type="application/atom+xml")


@router.get("/board/{demand_id}", response_model=BoardDemand, responses=problem_responses(404) | _UNCHANGED)
async def read_board_demand(
    demand_id: str, listing: ListingDep, response: Response, if_none_match: IfNoneMatch = None
) -> BoardDemand | Response:
    """Read one demand on the board. No key is needed."""
    demand = listing.get(demand_id, on=today())
    if _is_unchanged(listing, if_none_match, response):
        return Response(status_code=304, headers=dict(response.headers))
    return demand


def _canonical(request: Request) -> str:
    """The filters that restrict something, in one order: the same feed has the same id however it is asked for."""
    return urlencode(sorted((name, value.strip()) for name, value in request.query_params.items() if value.strip()))


def _is_unchanged(listing: Listing, if_none_match: str | None, response: Response) -> bool:
    """Set the cache headers, and tell whether the client already has this listing."""
    etag = listing.etag(today())
    response.headers["ETag"] = etag
    response.headers["Cache-Control"] = f"public, max-age={_MAX_AGE_S}"
    return names_tag(if_none_match or "", etag)
