"""A provider's set: what it writes, what it leaves to others, what it refuses, and that it may come in pieces."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from interlock.model.errors import Conflict, NotFound
from interlock.model.ids import new_id
from interlock.store import syncs
from interlock.store.deletions import delete_resource
from interlock.store.providers import delete_provider, save_provider
from interlock.store.resources import ResourceContent, list_resources_of_provider, save_resource
from interlock.store.syncs import Offered, SetOutcome, set_resources
from interlock.store.targets import Touched, match_targets
from interlock.store.tx import Store
from tests.store.fleet import Fleet, a_fleet


def content(name: str, **more: Any) -> ResourceContent:
    return replace(ResourceContent(name, name, "Host", "v1", {}, {"env": "prod"}), **more)


def offered(*contents: ResourceContent | str) -> list[Offered]:
    said = [content(one) if isinstance(one, str) else one for one in contents]
    return [Offered(one.identifier, one.kind, one.said) for one in said]


class Source:
    """A provider that sets."""

    def __init__(self, store: Store, fleet: Fleet, provider_id: str) -> None:
        self.store, self.fleet, self.id = store, fleet, provider_id

    async def sets(self, *contents: ResourceContent | str, allowed: bool = False, remove_max: int = 2) -> SetOutcome:
        return await set_resources(
            self.store,
            self.fleet.tx,
            self.fleet.workspace_id,
            provider_id=self.id,
            offered=offered(*contents),
            remove_max=remove_max,
            removal_allowed=allowed,
        )

    async def lists(self) -> list[str]:
        async with self.store.read() as conn:
            return [one.identifier for one in await list_resources_of_provider(conn, self.id)]


async def a_source(store: Store, fleet: Fleet, name: str) -> Source:
    async with fleet.tx() as tx:
        made = await save_provider(tx, fleet.workspace_id, name=name, wanted_id=None, metadata={})
    return Source(store, fleet, made.id)


@pytest.fixture
async def fleet(store: Store) -> Fleet:
    return await a_fleet(store, {"zero": "prod"})


@pytest.fixture
async def source(store: Store, fleet: Fleet) -> Source:
    return await a_source(store, fleet, "cloud")


async def told(store: Store, *kinds: str) -> list[tuple[str, Any]]:
    async with store.read() as conn:
        rows = await conn.fetch("SELECT kind, convert_from(body, 'UTF8')::jsonb AS body FROM ledger ORDER BY id")
    return [(row["kind"], row["body"]) for row in rows if row["kind"] in kinds]


async def targets_of(store: Store) -> dict[str, str]:
    async with store.read() as conn:
        rows = await conn.fetch(
            "SELECT r.name, t.state FROM target t JOIN resource r ON r.id = t.resource_id WHERE r.name <> 'zero'"
        )
    return {row["name"]: row["state"] for row in rows}


async def test_a_set_writes_what_differs_and_tells_only_that(store: Store, source: Source) -> None:
    assert await source.sets("a", "b", "c") == SetOutcome(created=3)
    before = len(await told(store, "resource.created", "resource.changed", "resource.deleted"))
    outcome = await source.sets("a", content("b", config={"n": 1}), "d")
    assert outcome == SetOutcome(created=1, changed=1, deleted=1)
    kinds = [kind for kind, _ in await told(store, "resource.created", "resource.changed", "resource.deleted")]
    assert sorted(kinds[before:]) == ["resource.changed", "resource.created", "resource.deleted"]
    assert await source.sets("a", content("b", config={"n": 1}), "d") == SetOutcome()
    assert len(await told(store, "provider.synced")) == 2, "a set that changes nothing tells nothing"


async def test_targets_follow_a_set_before_it_answers(store: Store, source: Source) -> None:
    await source.sets("a", "b")
    assert await targets_of(store) == {"a": "attached", "b": "attached"}
    await source.sets("a", content("b", metadata={"env": "lab"}), "c")
    assert await targets_of(store) == {"a": "attached", "b": "detached", "c": "attached"}
    await source.sets("a")
    assert await targets_of(store) == {"a": "attached", "b": "detached", "c": "removed"}


async def test_the_order_of_the_last_set_is_read_back_and_turning_it_round_rewrites_no_resource(
    store: Store, source: Source
) -> None:
    await source.sets("a", "b", "c")
    async with store.read() as conn:
        before = await conn.fetch("SELECT id, xmin::text FROM resource ORDER BY id")
    assert await source.sets("c", "a", "b") == SetOutcome()
    assert await source.lists() == ["c", "a", "b"]
    async with store.read() as conn:
        assert await conn.fetch("SELECT id, xmin::text FROM resource ORDER BY id") == before


async def test_an_identifier_that_comes_twice_counts_as_it_came_last(source: Source, store: Store) -> None:
    assert await source.sets(content("a", kind="Old"), "b", content("a", kind="New")) == SetOutcome(created=2)
    async with store.read() as conn:
        assert await conn.fetchval("SELECT kind FROM resource WHERE identifier = 'a'") == "New"


async def test_what_another_provider_owns_stays_its_and_is_told_once(
    store: Store, fleet: Fleet, source: Source
) -> None:
    other = await a_source(store, fleet, "other")
    await other.sets("theirs", "both")
    for _ in range(2):
        outcome = await source.sets("ours", content("both", kind="Stolen"))
        assert [(one.identifier, one.provider_id, one.provider) for one in outcome.contested] == [
            ("both", other.id, "other")
        ]
    assert await source.lists() == ["ours"]
    assert await told(store, "provider.contested") == [
        ("provider.contested", {"resources": 1, "owners": {"both": "other"}})
    ]
    await other.sets("theirs")
    assert (await source.sets("ours", "both")).created == 1, "what the other gave up is free"
    assert [body["resources"] for _, body in await told(store, "provider.contested")] == [1, 0]


async def test_what_nobody_offers_is_adopted(store: Store, fleet: Fleet, source: Source) -> None:
    async with fleet.tx() as tx:
        for name in ("same", "else"):
            await save_resource(tx, fleet.workspace_id, content=content(name), variables=None)
    outcome = await source.sets("same", content("else", config={"n": 1}))
    assert outcome == SetOutcome(changed=1, adopted=1)
    assert await source.lists() == ["same", "else"]
    assert [body["identifier"] for _, body in await told(store, "resource.adopted")] == ["same"]


@pytest.mark.parametrize(("kept", "refused"), [(5, False), (3, False), (2, True), (0, True)])
async def test_a_removal_of_many_and_of_more_than_half_needs_a_word(
    store: Store, source: Source, kept: int, refused: bool
) -> None:
    names = [f"h-{n}" for n in range(6)]
    await source.sets(*names)
    if not refused:
        assert (await source.sets(*names[:kept])).deleted == 6 - kept
        return
    with pytest.raises(Conflict) as no:
        await source.sets(*names[:kept], "new")
    assert no.value.code == "MASS_REMOVAL"
    assert no.value.details is not None and no.value.details["removed"] == 6 - kept
    assert await source.lists() == names, "nothing was changed"
    assert (await source.sets(*names[:kept], allowed=True)).deleted == 6 - kept
    assert (await told(store, "provider.synced"))[-1][1]["removalAllowed"] is True


async def test_a_few_may_all_go_without_a_word(store: Store, source: Source) -> None:
    await source.sets("a", "b")
    assert (await source.sets()).deleted == 2
    assert await source.lists() == []
    assert "removalAllowed" not in (await told(store, "provider.synced"))[-1][1]


async def test_what_comes_again_is_a_new_object_that_names_the_one_before(store: Store, source: Source) -> None:
    async def ids() -> list[str]:
        async with store.read() as conn:
            rows = await conn.fetch("SELECT id FROM resource WHERE identifier = 'a' ORDER BY deleted_at NULLS LAST")
        return [row["id"] for row in rows]

    await source.sets("a")
    await source.sets()
    await source.sets("a")
    first, second = await ids()
    assert (await told(store, "resource.created"))[-1][1]["formerly"] == first
    async with source.fleet.tx() as tx:
        await delete_resource(tx, source.fleet.workspace_id, identifier="a")
        await save_resource(tx, source.fleet.workspace_id, content=content("a"), variables=None)
    assert (await told(store, "resource.created"))[-1][1]["formerly"] == second
    async with store.read() as conn:
        states = await conn.fetch(
            "SELECT t.state FROM target t JOIN resource r ON r.id = t.resource_id WHERE r.name = 'a'"
        )
    assert sorted(row["state"] for row in states) == ["attached", "removed", "removed"]


async def test_two_sets_of_one_provider_take_turns(source: Source) -> None:
    sets: Sequence[Sequence[str]] = [[f"{turn}-{n}" for n in range(20)] for turn in range(4)]
    await asyncio.gather(*(source.sets(*names, remove_max=100) for names in sets))
    assert await source.lists() in [list(names) for names in sets]


async def test_an_unknown_provider_is_not_found_and_leaves_nothing(store: Store, fleet: Fleet) -> None:
    with pytest.raises(NotFound):
        await Source(store, fleet, new_id()).sets("a")
    async with store.read() as conn:
        assert await conn.fetchval("SELECT count(*) FROM resource WHERE identifier = 'a'") == 0


async def test_a_large_set_comes_in_pieces_removals_last_and_the_next_finishes_what_was_cut_off(
    store: Store, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(syncs, "PIECE_MAX", 4)
    monkeypatch.setattr(syncs, "MATCHED_AT_ONCE_MAX", 3)
    await source.sets(*(f"old-{n}" for n in range(6)), remove_max=100)
    real, calls = syncs._write, iter(range(100))

    async def cut_off(*args: Any) -> SetOutcome:
        if next(calls) == 1:
            raise ConnectionError("the process died")
        return await real(*args)

    monkeypatch.setattr(syncs, "_write", cut_off)
    names = [f"new-{n}" for n in range(6)]
    with pytest.raises(Exception, match="died"):
        await source.sets(*names, remove_max=100)
    monkeypatch.setattr(syncs, "_write", real)
    assert set(await source.lists()) == {*(f"old-{n}" for n in range(6)), *names[:4]}, "nothing was removed yet"
    outcome = await source.sets(*names, remove_max=100)
    assert outcome == SetOutcome(created=2, deleted=6)
    assert await source.lists() == names
    assert len(await told(store, "provider.synced")) == 2


async def test_a_large_set_is_matched_by_the_worker_and_a_provider_that_goes_first_loses_no_target(
    store: Store, fleet: Fleet, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(syncs, "MATCHED_AT_ONCE_MAX", 1)
    await source.sets("a", "b", "c")
    assert await targets_of(store) == {}
    async with store.read() as conn:
        keys = [row["key"] for row in await conn.fetch("SELECT key FROM work WHERE kind = 'match'")]
    assert sum(key.startswith(f"provider:{source.id},") for key in keys) == 1
    async with fleet.tx() as tx:
        rows = await tx.conn.fetch("SELECT id FROM resource")
        await match_targets(tx, fleet.workspace_id, Touched(resources=tuple(row["id"] for row in rows)))
    await source.sets(allowed=True)
    assert await targets_of(store) == dict.fromkeys("abc", "attached")
    async with fleet.tx() as tx:
        await delete_provider(tx, fleet.workspace_id, name="cloud")
    assert await targets_of(store) == dict.fromkeys("abc", "removed")
