"""Webhooks against a real receiver: at least once, in order per demand, nothing lost and nothing forgotten."""

import asyncio
from collections import defaultdict
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from conftest import Clock
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select, text
from webhooks.receivers import Receiver

from matching_service.access.policies import COMMAND_LINE
from matching_service.claims.schemas import ClaimCreate, ClaimStep, ScoreBody
from matching_service.claims.service import create_claim, judge_claim, transition_claim
from matching_service.claims.states import ClaimStatus, Criterion
from matching_service.demands.schemas import DemandCreate, DemandPatch
from matching_service.demands.service import create_demand, update_demand
from matching_service.demands.states import DemandStatus
from matching_service.demands.transitions import adopt_status
from matching_service.disclosure.mapping import EntityMapping, Mapped
from matching_service.engagements.schemas import EngagementCreate, EngagementPatch
from matching_service.engagements.service import create_engagement, update_engagement
from matching_service.foundation.clock import now, today
from matching_service.foundation.errors import Conflict
from matching_service.foundation.settings import Settings
from matching_service.profiles.schemas import Contact, ProfileCreate, ProfilePatch
from matching_service.profiles.service import create_profile, delete_profile, update_profile, write_contact
from matching_service.projects.queries import get_project
from matching_service.projects.schemas import ProjectPatch
from matching_service.projects.service import update_project
from matching_service.store.database import Database
from matching_service.store.demands import DemandRow
from matching_service.store.lookup import get_by_ids
from matching_service.store.outbox import record_event
from matching_service.store.profiles import ProfileRow
from matching_service.store.projects import ProjectRow
from matching_service.store.webhooks import DeliveryRow, WebhookRow
from matching_service.webhooks import service as webhooks
from matching_service.webhooks.deliveries import delay_after
from matching_service.webhooks.schemas import WebhookCreate, WebhookPatch
from matching_service.webhooks.sender import Sender, Tally

ONLY_SQLITE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
SETTINGS = Settings(webhook_allow_private=True, webhook_give_up_days=3)
EVENTS_OF_A_DEMAND = ["demand.created", "demand.published", "demand.updated"]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    started = Receiver().start()
    yield started
    started.stop()


@pytest.fixture
def other_receiver() -> Iterator[Receiver]:
    started = Receiver().start()
    yield started
    started.stop()


def sender(database: Database, **mappings: Mapped) -> Sender:
    return Sender(database, SETTINGS, mappings)


async def subscribe(database: Database, receiver: Receiver, **fields: Any) -> WebhookRow:
    async with database.transaction() as session:
        data = WebhookCreate(url=receiver.url, **{"audience": "office"} | fields)
        return await webhooks.create_webhook(session, data, COMMAND_LINE, mappings={}, allow_private=True)


async def change(database: Database, row: WebhookRow, **fields: Any) -> None:
    async with database.transaction() as session:
        found = await webhooks.get_webhook(session, row.id)
        patch = WebhookPatch(**fields)
        await webhooks.update_webhook(session, found, patch, COMMAND_LINE, mappings={}, allow_private=True)


async def demand_with_three_events(database: Database, **fields: Any) -> str:
    async with database.transaction() as session:
        row = await create_demand(session, DemandCreate(**{"title": "谐波减速器"} | fields), COMMAND_LINE)
    async with database.transaction() as session:
        (found,) = (await get_by_ids(session, DemandRow, [row.id])).values()
        await adopt_status(session, found, DemandStatus.PUBLISHED, actor=COMMAND_LINE)
        await update_demand(session, found, DemandPatch(funding_wan=80), COMMAND_LINE)
    return row.id


async def deliveries(database: Database, *states: str) -> list[DeliveryRow]:
    async with database.reading() as session:
        rows = await session.scalars(select(DeliveryRow).order_by(DeliveryRow.seq))
        return [row for row in rows if not states or row.state in states]


def fails_for(*ids: str, status: int = 500) -> Any:
    return lambda request: status if request.json["entity_id"] in ids else 200


def total(tallies: list[Tally]) -> tuple[int, int, int]:
    return sum(t.delivered for t in tallies), sum(t.failed for t in tallies), sum(t.dead for t in tallies)


# --- what is sent


async def test_events_arrive_once_signed_and_in_order(database: Database, receiver: Receiver) -> None:
    await demand_with_three_events(database)  # before the subscription, and so not told
    row = await subscribe(database, receiver)
    demand_ids = [await demand_with_three_events(database) for _ in range(3)]
    begun = int(now().timestamp())
    assert total(await sender(database).deliver_due()) == (9, 0, 0)
    assert total(await sender(database).deliver_due()) == (0, 0, 0)
    assert receiver.events() == [(event, demand_id) for demand_id in demand_ids for event in EVENTS_OF_A_DEMAND]
    assert all(request.is_signed_with(row.secret) for request in receiver.requests)
    assert len({request.id for request in receiver.requests}) == 9
    sent_at = [int(request.headers["webhook-timestamp"]) for request in receiver.requests]
    moments = [begun, *sent_at, int(now().timestamp())]
    assert moments == sorted(moments)
    body = receiver.requests[-1].json
    assert set(body) == {"seq", "event", "entity", "entity_id", "at", "deleted", "data"}
    assert (body["entity"], body["deleted"], body["data"]["title"]) == ("demand", False, "谐波减速器")
    assert (body["data"]["status"], body["data"]["funding_wan"]) == ("published", 80)
    sequence = [request.json["seq"] for request in receiver.requests]
    assert sequence == sorted(sequence)


@ONLY_SQLITE
async def test_the_secret_before_is_good_for_a_day_after_a_change(
    database: Database, receiver: Receiver, clock: Clock
) -> None:
    row = await subscribe(database, receiver)
    secrets = [row.secret]

    async def signed_with() -> list[str]:
        async with database.transaction() as session:
            await create_profile(session, ProfileCreate(kind="expert", name="卓砺川"), COMMAND_LINE)
        await sender(database).deliver_due()
        return [secret for secret in secrets if receiver.accepted[-1].is_signed_with(secret)]

    async def change_secret() -> None:
        async with database.transaction() as session:
            found = await webhooks.get_webhook(session, row.id)
            secrets.append((await webhooks.change_secret(session, found, COMMAND_LINE)).secret)

    assert await signed_with() == secrets
    await change_secret()
    assert await signed_with() == secrets
    await change_secret()  # who lost a secret changes it twice
    assert await signed_with() == secrets[1:]
    clock.advance(hours=23)
    assert await signed_with() == secrets[1:]
    clock.advance(hours=2)
    assert await signed_with() == secrets[2:]
    assert len(set(secrets)) == 3


async def test_only_subscribed_events_are_sent(database: Database, receiver: Receiver) -> None:
    await subscribe(database, receiver, events=["profile.*", "demand.published"])
    demand_id = await demand_with_three_events(database)
    async with database.transaction() as session:
        profile = await create_profile(session, ProfileCreate(kind="expert", name="卓砺川"), COMMAND_LINE)
    await sender(database).deliver_due()
    assert receiver.events() == [("demand.published", demand_id), ("profile.created", profile.id)]


async def test_the_public_is_told_of_public_records_only(database: Database, receiver: Receiver) -> None:
    await subscribe(database, receiver, audience="public")
    published = await demand_with_three_events(database)
    restricted = await demand_with_three_events(database, visibility="restricted")
    async with database.transaction() as session:
        await create_demand(session, DemandCreate(title="草稿"), COMMAND_LINE)
        public = await create_profile(session, ProfileCreate(kind="expert", name="甲"), COMMAND_LINE)
        await create_profile(session, ProfileCreate(kind="expert", name="乙", visibility="restricted"), COMMAND_LINE)
        record_event(session, "match_list.changed", entity="match_list", entity_id=public.id)
        record_event(session, "engagement.created", entity="engagement", entity_id=public.id)
    await sender(database).deliver_due()
    shown = {request.json["entity_id"] for request in receiver.requests if not request.json["deleted"]}
    assert shown == {published, public.id}
    assert "乙" not in str([request.json for request in receiver.requests])
    assert "草稿" not in str([request.json for request in receiver.requests])
    gone = [request.json for request in receiver.requests if request.json["entity_id"] == restricted]
    assert all(body["deleted"] and body["data"] is None for body in gone)
    assert await deliveries(database, "pending") == []


@pytest.mark.parametrize("audience", ["public", "office"])
@pytest.mark.parametrize("visibility", ["hidden", "withdrawn"])
@ONLY_SQLITE
async def test_who_was_hidden_meanwhile_is_sent_as_a_deletion(
    database: Database, receiver: Receiver, audience: str, visibility: str
) -> None:
    """Also by the event of before: what is sent is the record as it may be seen when it is sent."""
    await subscribe(database, receiver, audience=audience)
    async with database.transaction() as session:
        row = await create_profile(session, ProfileCreate(kind="expert", name="卓砺川"), COMMAND_LINE)
        await write_contact(session, row, Contact(phone="0757-0000000"), COMMAND_LINE)
    async with database.transaction() as session:
        (found,) = (await get_by_ids(session, ProfileRow, [row.id])).values()
        await update_profile(session, found, ProfilePatch.model_validate({"visibility": visibility}), COMMAND_LINE)
    await sender(database).deliver_due()
    assert [request.json["event"] for request in receiver.requests] == ["profile.created", "profile.updated"]
    assert all(request.json["deleted"] and request.json["data"] is None for request in receiver.requests)
    assert "卓砺川".encode() not in b"".join(request.body for request in receiver.requests)


async def test_a_deleted_record_and_contact_data(database: Database, receiver: Receiver) -> None:
    await subscribe(database, receiver)
    async with database.transaction() as session:
        row = await create_profile(session, ProfileCreate(kind="expert", name="卓砺川"), COMMAND_LINE)
        await write_contact(session, row, Contact(phone="0757-0000000", email="a@example.org"), COMMAND_LINE)
    await sender(database).deliver_due()
    assert "卓砺川" in str(receiver.requests[0].json)
    async with database.transaction() as session:
        (found,) = (await get_by_ids(session, ProfileRow, [row.id])).values()
        await delete_profile(session, found, COMMAND_LINE)
    await sender(database).deliver_due()
    assert receiver.requests[-1].json["event"] == "profile.deleted"
    assert receiver.requests[-1].json["deleted"] is True
    assert b"0757-0000000" not in b"".join(request.body for request in receiver.requests)


async def test_events_of_unknown_kinds_are_told_to_the_office_without_data(
    database: Database, receiver: Receiver
) -> None:
    """Rooms that come later record events; those that name their demand are sent in its order."""
    await subscribe(database, receiver)
    demand_id = await demand_with_three_events(database)
    async with database.transaction() as session:
        record_event(session, "alliance.joined", entity="alliance", entity_id="a", detail={"demand_id": demand_id})
        record_event(session, "alliance.founded", entity="alliance", entity_id="a")
    receiver.answer = fails_for(demand_id)
    await sender(database).deliver_due()
    assert receiver.events() == [("alliance.founded", "a")]
    assert receiver.accepted[0].json["data"] is None
    assert [row.order_key for row in await deliveries(database, "pending")] == [f"demand:{demand_id}"] * 4


async def test_all_that_happens_to_a_demand_is_told_in_its_order(database: Database, receiver: Receiver) -> None:
    await subscribe(database, receiver)
    demand_id = await demand_with_three_events(database)
    async with database.transaction() as session:
        profile = await create_profile(session, ProfileCreate(kind="expert", name="卓砺川"), COMMAND_LINE)
    async with database.transaction() as session:
        visit = EngagementCreate(kind="visit", demand_id=demand_id, held_on=today(), note="走访")
        engagement = await create_engagement(session, visit, COMMAND_LINE)
        await update_engagement(session, engagement, EngagementPatch(note="再访"), COMMAND_LINE)
    async with database.transaction() as session:
        offer = ClaimCreate(demand_id=demand_id, profile_id=profile.id, offer="半年")
        claim = await create_claim(session, offer, COMMAND_LINE)
        sheet = ScoreBody(points=dict.fromkeys(Criterion, 1.0))
        await judge_claim(session, claim, sheet, COMMAND_LINE)
        await transition_claim(session, claim, ClaimStep(to=ClaimStatus.CHOSEN, contract_number="1"), COMMAND_LINE)
    async with database.transaction() as session:
        project_id = (await session.scalars(select(ProjectRow.id))).one()
        row = await get_project(session, project_id)
        await update_project(session, row, ProjectPatch(results="样机"), COMMAND_LINE)
    await sender(database).deliver_due()
    assert [event for event, _ in receiver.events() if not event.startswith("profile.")] == [
        *EVENTS_OF_A_DEMAND, "engagement.created", "engagement.updated", "demand.matching", "claim.offered",
        "claim.judged", "claim.chosen", "demand.contracted", "project.opened", "project.updated", "project.updated",
    ]  # fmt: skip
    keys = {row.order_key for row in await deliveries(database) if row.order_key != f"profile:{profile.id}"}
    assert keys == {f"demand:{demand_id}"}


# --- receivers that fail


async def test_a_failing_delivery_holds_back_its_demand_and_no_other(
    database: Database, receiver: Receiver, clock: Clock
) -> None:
    await subscribe(database, receiver)
    bad, good = await demand_with_three_events(database), await demand_with_three_events(database)
    receiver.answer = fails_for(bad)
    assert total(await sender(database).deliver_due()) == (3, 1, 0)
    assert receiver.events() == [(event, good) for event in EVENTS_OF_A_DEMAND]
    receiver.answer = fails_for()
    clock.advance(hours=-1)  # so that it is not yet due, however slow this machine is
    assert total(await sender(database).deliver_due()) == (0, 0, 0)
    clock.advance(hours=1, seconds=5)
    assert total(await sender(database).deliver_due()) == (3, 0, 0)
    assert receiver.events()[3:] == [(event, bad) for event in EVENTS_OF_A_DEMAND]


async def test_a_target_that_answers_500_for_a_day_loses_nothing(
    database: Database, receiver: Receiver, clock: Clock
) -> None:
    await subscribe(database, receiver)
    demand_ids = [await demand_with_three_events(database) for _ in range(5)]
    receiver.answer = lambda _request: 500
    for _ in range(24 * 2):
        await sender(database).deliver_due()
        clock.advance(minutes=30)
    assert len(await deliveries(database, "pending")) == 15
    assert await deliveries(database, "dead") == []
    n_failed = len(receiver.requests)
    assert n_failed >= 5 * 20  # about hourly
    receiver.answer = lambda _request: 200
    clock.advance(hours=1)
    await sender(database).deliver_due()
    by_demand = defaultdict(list)
    for event, demand_id in receiver.events():
        by_demand[demand_id].append(event)
    assert by_demand == dict.fromkeys(demand_ids, EVENTS_OF_A_DEMAND)
    assert {request.id for request in receiver.requests[:n_failed]} <= {request.id for request in receiver.accepted}


async def test_a_dead_letter_holds_back_its_demand_until_it_is_replayed(
    database: Database, receiver: Receiver, clock: Clock
) -> None:
    row = await subscribe(database, receiver)
    bad, good = await demand_with_three_events(database), await demand_with_three_events(database)
    receiver.answer = fails_for(bad)
    await sender(database).deliver_due()
    clock.advance(days=2, hours=23)
    assert total(await sender(database).deliver_due()) == (0, 1, 0)
    clock.advance(hours=1)
    assert total(await sender(database).deliver_due()) == (0, 0, 1)
    receiver.answer = fails_for()
    clock.advance(days=1)
    assert total(await sender(database).deliver_due()) == (0, 0, 0)
    (dead,) = await deliveries(database, "dead")
    assert (dead.last_status, dead.n_attempts) == (500, 3)
    async with database.transaction() as session:
        assert await webhooks.replay(session, row, [dead.id], COMMAND_LINE) == 1
    assert total(await sender(database).deliver_due()) == (3, 0, 0)
    assert receiver.events() == [(event, id_) for id_ in (good, bad) for event in EVENTS_OF_A_DEMAND]
    assert next(r.id for r in receiver.accepted if r.json["entity_id"] == bad) == dead.id


@ONLY_SQLITE
async def test_a_skipped_dead_letter_lets_the_others_pass(database: Database, receiver: Receiver, clock: Clock) -> None:
    row = await subscribe(database, receiver)
    demand_id = await demand_with_three_events(database)
    receiver.answer = lambda request: 400 if request.json["event"] == "demand.created" else 200
    await sender(database).deliver_due()
    clock.advance(days=3)
    await sender(database).deliver_due()
    (dead,) = await deliveries(database, "dead")
    async with database.transaction() as session:
        assert await webhooks.skip(session, row, [dead.id], COMMAND_LINE) == 1
    assert total(await sender(database).deliver_due()) == (2, 0, 0)
    assert receiver.events() == [(event, demand_id) for event in EVENTS_OF_A_DEMAND[1:]]


async def test_what_is_no_dead_letter_of_the_webhook_is_not_replayed(
    database: Database, receiver: Receiver, other_receiver: Receiver, clock: Clock
) -> None:
    row = await subscribe(database, receiver)
    other = await subscribe(database, other_receiver)
    await demand_with_three_events(database)
    receiver.answer = other_receiver.answer = lambda _request: 500
    await sender(database).deliver_due()
    clock.advance(days=3)
    await sender(database).deliver_due()
    dead = {delivery.webhook_id: delivery.id for delivery in await deliveries(database, "dead")}
    pending = (await deliveries(database, "pending"))[0].id
    for wrong in (dead[other.id], pending, "nothing"):
        with pytest.raises(Conflict) as refused:
            async with database.transaction() as session:
                await webhooks.replay(session, row, [dead[row.id], wrong], COMMAND_LINE)
        assert refused.value.code == "not_dead"
        assert wrong in refused.value.detail.zh
    assert len(await deliveries(database, "dead")) == 2
    async with database.transaction() as session:
        assert await webhooks.replay(session, row, None, COMMAND_LINE) == 1
    assert [delivery.webhook_id for delivery in await deliveries(database, "dead")] == [other.id]


async def test_a_target_that_is_down_is_left_alone_for_a_while(
    database: Database, receiver: Receiver, clock: Clock
) -> None:
    await subscribe(database, receiver)
    for _ in range(10):
        await demand_with_three_events(database)
    receiver.stop()
    assert total(await sender(database).deliver_due()) == (0, 3, 0)
    assert total(await sender(database).deliver_due()) == (0, 0, 0)
    receiver.start()
    clock.advance(minutes=1)
    assert total(await sender(database).deliver_due()) == (30, 0, 0)
    assert len(receiver.accepted) == 30


@ONLY_SQLITE
async def test_a_receiver_that_goes_away_and_comes_back_misses_nothing(
    database: Database, receiver: Receiver, clock: Clock
) -> None:
    await subscribe(database, receiver)
    first = await demand_with_three_events(database)
    await sender(database).deliver_due()
    receiver.stop()
    second = await demand_with_three_events(database)
    assert total(await sender(database).deliver_due()) == (0, 1, 0)
    (waiting, *_) = await deliveries(database, "pending")
    assert waiting.last_status is None
    assert waiting.last_error is not None
    assert "ConnectError" in waiting.last_error
    receiver.start()
    clock.advance(seconds=10)
    await sender(database).deliver_due()
    assert receiver.events() == [(event, id_) for id_ in (first, second) for event in EVENTS_OF_A_DEMAND]


@ONLY_SQLITE
async def test_a_slow_receiver_holds_up_no_other(
    database: Database, receiver: Receiver, other_receiver: Receiver
) -> None:
    receiver.may_answer.clear()
    await subscribe(database, receiver)
    await subscribe(database, other_receiver)
    running = asyncio.create_task(sender(database).run())
    await demand_with_three_events(database)
    assert await asyncio.to_thread(receiver.arrived.wait, 30)
    await demand_with_three_events(database)  # the loop goes on, while the slow one has not answered
    assert await asyncio.to_thread(other_receiver.wait_for, 6)
    assert len(receiver.requests) == 1
    receiver.may_answer.set()
    assert await asyncio.to_thread(receiver.wait_for, 6)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


# --- senders that die, and several of them


async def test_a_sender_that_dies_before_writing_down_sends_again_with_the_same_id(
    database: Database, receiver: Receiver
) -> None:
    await subscribe(database, receiver)
    await demand_with_three_events(database)
    receiver.may_answer.clear()
    dying = asyncio.create_task(sender(database).deliver_due())
    assert await asyncio.to_thread(receiver.arrived.wait, 30)
    dying.cancel()
    await asyncio.gather(dying, return_exceptions=True)
    assert [row.n_attempts for row in await deliveries(database, "pending")] == [0, 0, 0]
    receiver.may_answer.set()
    await sender(database).deliver_due()
    first, again, *_ = receiver.requests
    assert first.id == again.id
    assert first.json == again.json
    assert [request.json["event"] for request in receiver.requests[1:]] == EVENTS_OF_A_DEMAND


async def test_after_a_dead_sender_another_takes_over_when_its_lease_ends(
    database: Database, receiver: Receiver, clock: Clock
) -> None:
    row = await subscribe(database, receiver)
    await demand_with_three_events(database)
    async with database.transaction() as session:  # what a killed process leaves behind
        until = now() + timedelta(hours=1)
        statement = "UPDATE webhook_states SET lease_holder = 'killed', lease_until = :until WHERE webhook_id = :id"
        until_value = until.replace(tzinfo=None).isoformat(" ", "microseconds") if database.is_sqlite else until
        await session.execute(text(statement), {"until": until_value, "id": row.id})
    assert total(await sender(database).deliver_due()) == (0, 0, 0)
    clock.advance(hours=1)
    assert total(await sender(database).deliver_due()) == (3, 0, 0)


async def test_of_many_senders_one_sends(database: Database, receiver: Receiver) -> None:
    await subscribe(database, receiver)
    demand_ids = [await demand_with_three_events(database) for _ in range(10)]
    done = await asyncio.gather(*(sender(database).deliver_due() for _ in range(4)))
    assert sum(total(tallies)[0] for tallies in done) == 30
    assert receiver.events() == [(event, demand_id) for demand_id in demand_ids for event in EVENTS_OF_A_DEMAND]


async def test_a_sender_that_lost_its_lease_stops(database: Database, receiver: Receiver, clock: Clock) -> None:
    """A process that slept for long finds that another has gone on, and writes over nothing."""
    await subscribe(database, receiver)
    await demand_with_three_events(database)
    receiver.may_answer.clear()
    slow = asyncio.create_task(sender(database).deliver_due())
    assert await asyncio.to_thread(receiver.arrived.wait, 30)
    receiver.arrived.clear()
    clock.advance(minutes=5)
    quick = asyncio.create_task(sender(database).deliver_due())
    assert await asyncio.to_thread(receiver.arrived.wait, 30)
    receiver.may_answer.set()
    assert sorted([total(await slow), total(await quick)]) == [(0, 0, 0), (3, 0, 0)]
    assert [row.state for row in await deliveries(database)] == ["delivered"] * 3
    assert [request.json["event"] for request in receiver.requests] == [EVENTS_OF_A_DEMAND[0], *EVENTS_OF_A_DEMAND]


# --- subscriptions


@ONLY_SQLITE
async def test_an_inactive_webhook_is_sent_nothing_and_forgets_nothing(database: Database, receiver: Receiver) -> None:
    row = await subscribe(database, receiver)
    await change(database, row, is_active=False)
    demand_id = await demand_with_three_events(database)
    assert await sender(database).deliver_due() == []
    await change(database, row, is_active=True)
    await sender(database).deliver_due()
    assert receiver.events() == [(event, demand_id) for event in EVENTS_OF_A_DEMAND]


@ONLY_SQLITE
async def test_what_is_queued_goes_to_the_new_address(
    database: Database, receiver: Receiver, other_receiver: Receiver, clock: Clock
) -> None:
    row = await subscribe(database, receiver)
    await demand_with_three_events(database)
    receiver.answer = lambda _request: 500
    await sender(database).deliver_due()
    await change(database, row, url=other_receiver.url)
    clock.advance(seconds=5)
    await sender(database).deliver_due()
    assert len(other_receiver.accepted) == 3


async def test_a_deleted_webhook_is_sent_nothing_more(database: Database, receiver: Receiver) -> None:
    row = await subscribe(database, receiver)
    await demand_with_three_events(database)
    receiver.answer = lambda _request: 500
    await sender(database).deliver_due()
    async with database.transaction() as session:
        await webhooks.delete_webhook(session, await webhooks.get_webhook(session, row.id), COMMAND_LINE)
    assert await deliveries(database) == []
    assert await sender(database).deliver_due() == []


@ONLY_SQLITE
async def test_data_is_sent_in_the_words_of_a_mapping(database: Database, receiver: Receiver) -> None:
    row = await subscribe(database, receiver)
    mapping = {
        "demand": EntityMapping(fields={"id": "demandId", "status": "zt"}, values={"status": {"published": "1"}})
    }
    async with database.transaction() as session:
        found = await webhooks.get_webhook(session, row.id)
        await webhooks.update_webhook(
            session, found, WebhookPatch(mapping="kczg"), COMMAND_LINE, mappings={"kczg": mapping}, allow_private=True
        )
    demand_id = await demand_with_three_events(database)
    async with database.transaction() as session:
        await create_profile(session, ProfileCreate(kind="expert", name="卓砺川"), COMMAND_LINE)
    await sender(database, kczg=mapping).deliver_due()
    assert [request.json["data"] for request in receiver.requests] == [{"demandId": demand_id, "zt": "1"}] * 3
    assert [row.state for row in await deliveries(database)] == ["delivered"] * 3 + ["skipped"]


@ONLY_SQLITE
async def test_a_mapping_that_is_gone_from_the_file_is_a_failure_that_is_tried_again(
    database: Database, receiver: Receiver, clock: Clock
) -> None:
    await subscribe(database, receiver)
    async with database.transaction() as session:
        await session.execute(text("UPDATE webhooks SET mapping = 'kczg'"))
    await demand_with_three_events(database)
    assert total(await sender(database).deliver_due()) == (0, 1, 0)
    assert "kczg" in ((await deliveries(database))[0].last_error or "")
    clock.advance(seconds=5)
    kczg = {"demand": EntityMapping(fields={"id": "demandId"})}
    assert total(await sender(database, kczg=kczg).deliver_due()) == (3, 0, 0)


async def test_old_deliveries_are_forgotten_and_waiting_ones_are_not(
    database: Database, receiver: Receiver, clock: Clock
) -> None:
    await subscribe(database, receiver)
    kept, forgotten = await demand_with_three_events(database), await demand_with_three_events(database)
    receiver.answer = fails_for(kept)
    await sender(database).deliver_due()
    clock.advance(days=31)
    await sender(database).deliver_due()
    assert {row.order_key for row in await deliveries(database)} == {f"demand:{kept}"}
    assert (f"demand:{forgotten}") not in {row.order_key for row in await deliveries(database)}


@ONLY_SQLITE
async def test_the_number_of_webhooks_is_limited(database: Database, receiver: Receiver) -> None:
    for _ in range(webhooks.MAX_WEBHOOKS):
        await subscribe(database, receiver)
    with pytest.raises(Conflict) as refused:
        await subscribe(database, receiver)
    assert refused.value.code == "too_many_webhooks"


# --- backoff


@given(st.integers(1, 10_000))
def test_delays_grow_to_an_hour_and_never_beyond(n_attempts: int) -> None:
    assert timedelta(seconds=2.5) <= delay_after(n_attempts) <= timedelta(hours=1)
    assert delay_after(n_attempts) <= timedelta(seconds=5) * 2 ** min(n_attempts, 20)
    if n_attempts > 10:
        assert delay_after(n_attempts) >= timedelta(minutes=30)
