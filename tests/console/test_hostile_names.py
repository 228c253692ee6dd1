"""Names that carry markup stay text, wherever people or CI may have written them."""

from html.parser import HTMLParser

from interlock.console.rendering import instants
from interlock.console.telling import heard
from interlock.store.ledger import read_feed, sequence_ledger
from tests.console.conftest import HOSTILE
from tests.store.fleet import Fleet


class Wild(HTMLParser):
    """Collects what only a name could have brought in: elements and attributes that no template has."""

    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attrs):
        names = {name for name, _ in attrs}
        if tag == "img" or (tag == "script" and "src" not in names) or any(name.startswith("on") for name in names):
            self.found.append((tag, attrs))


def wild(html):
    parser = Wild()
    parser.feed(html)
    return parser.found


def test_the_search_for_markup_finds_it():
    assert [tag for tag, _ in wild(HOSTILE)] == ["script", "img"]


async def test_no_name_becomes_markup_on_any_page(visitor, world, store):
    fleet = Fleet(store, world.workspace_id, world.maker_id, "", "", world.deployment_id)
    await fleet.resource(f"prod-{HOSTILE}", env="production")
    await fleet.version(f"9-{HOSTILE}")
    otto = await visitor(f"otto {HOSTILE}", "admin")
    await otto.send(world.at("freezes", "new"), world.at("freezes"), scope="workspace", reason=HOSTILE, hours="")
    page = world.at("approvals", world.request_id)
    await otto.send(page, page, verdict="approved", comment=HOSTILE)
    async with store.read() as conn:
        await conn.execute("UPDATE workspace SET name = $1", HOSTILE)
        await conn.execute("UPDATE deployment SET description = $1, name = $2", HOSTILE, f"shop/{HOSTILE}")
        await conn.execute("UPDATE environment SET name = $1 WHERE name = 'production'", f"production{HOSTILE}")
        await conn.execute("UPDATE job SET output = $1, message = $1, metadata = $2", HOSTILE, {HOSTILE: HOSTILE})
        await conn.execute("UPDATE version SET message = $1, metadata = $2, name = $1", HOSTILE, {HOSTILE: HOSTILE})
        while await sequence_ledger(conn):
            pass
    shown = 0
    for path in (
        world.at(),
        world.at("deployments", world.deployment_id),
        world.at("approvals"),
        page,
        world.at("jobs", world.job_id),
        world.at("ledger"),
        world.at("freezes"),
        world.at("freezes", "new"),
        "/workspaces",
    ):
        answer = await otto.get(path)
        assert answer.status_code == 200, path
        assert not wild(answer.text), path
        shown += answer.text.count("&lt;script&gt;alert")
    assert shown > 20


async def test_what_is_typed_into_a_filter_comes_back_as_text(visitor, world):
    answer = await (await visitor()).get(world.at("ledger"), params={"subject": HOSTILE, "kind": HOSTILE})
    assert answer.status_code == 200
    assert not wild(answer.text)


async def test_a_deployment_whose_name_is_no_path_is_linked_by_its_id(visitor, world, store):
    async with store.read() as conn:
        await conn.execute("UPDATE deployment SET name = '../a b'")
    vera = await visitor()
    assert world.at("deployments", world.deployment_id) in (await vera.get(world.at())).text
    assert (await vera.get(world.at("deployments", world.deployment_id))).status_code == 200


def test_instants_in_a_sentence_are_marked_up_and_nothing_else_is():
    text = instants("It soaks until 2026-03-09T08:00:00.5Z <b>now</b>; `a < b` is false, 2026-99-99T99:99Z is none.")
    assert '<time datetime="2026-03-09T08:00:00.500000Z">2026-03-09 08:00:00 UTC</time>' in text
    assert "&lt;b&gt;now&lt;/b&gt;" in text
    assert "<code>a &lt; b</code>" in text
    assert "2026-99-99T99:99Z is none" in text


async def test_what_is_read_out_is_escaped(world, store):
    from interlock.console.live import message

    fleet = Fleet(store, world.workspace_id, world.maker_id, "", "", world.deployment_id)
    await fleet.version(f"9-{HOSTILE}\n\ndata: <b>")
    async with store.read() as conn:
        while await sequence_ledger(conn):
            pass
        entries = await read_feed(conn, world.workspace_id, rows_max=10_000)
    told = [entry for entry in entries if entry.kind == "version.created"][-1:]
    assert heard(told[0]).startswith("Version 9-<script>")
    sent = message(told, seq=7).decode()
    assert "<script>" not in sent
    assert sent.count("\ndata: ") == 1
    assert sent.count("\n\n") == 2
