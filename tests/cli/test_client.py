"""What becomes of an answer, and how a list and a stream are read: over recorded HTTP."""

from __future__ import annotations

import json

import httpx
import pytest

from interlock.client import Client
from interlock.client.calls import api_root, path
from interlock.model.errors import (
    Bug,
    Conflict,
    Forbidden,
    Invalid,
    NotFound,
    Outdated,
    StoreUnavailable,
    TooLarge,
    Unauthorized,
    Unavailable,
)


def client_of(answer):
    """A client whose server is this function."""
    http = httpx.Client(transport=httpx.MockTransport(answer), base_url="http://interlock.test/api")
    return Client("http://interlock.test", api_key="k", workspace="shop", http=http)


@pytest.mark.parametrize("url", ["http://h", "http://h/", "http://h/api", "http://h/api/"])
def test_an_address_may_end_in_a_slash_or_in_api(url):
    assert api_root(url) == "http://h/api"


def test_a_slash_inside_an_identifier_stays_inside_its_segment():
    asked = []

    def answer(request):
        asked.append(request.url.raw_path)
        return httpx.Response(200, json={})

    client_of(answer).find_resource("arn:aws:eks:eu/prod cluster")
    assert asked == [b"/api/v1/workspaces/shop/resources/identifier/arn%3Aaws%3Aeks%3Aeu%2Fprod%20cluster"]
    assert path("a/b") == "/v1/a%2Fb"


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, Invalid),
        (401, Unauthorized),
        (403, Forbidden),
        (404, NotFound),
        (409, Conflict),
        (412, Outdated),
        (413, TooLarge),
        (415, Invalid),
        (500, Bug),
        (502, Unavailable),
        (503, StoreUnavailable),
    ],
)
def test_a_status_becomes_the_error_that_it_names(status, error):
    client = client_of(lambda _: httpx.Response(status, json={"message": "No.", "code": "WHY"}))
    with pytest.raises(error) as raised:
        list(client.list_jobs())
    assert type(raised.value) is error
    assert raised.value.message == "No."
    if status < 500:
        assert raised.value.code == "WHY"


def test_refused_fields_keep_their_paths():
    body = {"message": "No.", "details": [{"path": "rules[0]", "message": "is unknown"}, "noise"]}
    with pytest.raises(Invalid) as raised:
        client_of(lambda _: httpx.Response(400, json=body)).put_policy("x", {})
    assert [(field.path, field.message) for field in raised.value.fields] == [("rules[0]", "is unknown")]


def test_an_error_without_a_body_of_ours_still_says_something():
    with pytest.raises(Unavailable, match="answered 502"):
        list(client_of(lambda _: httpx.Response(502, html="<h1>Bad Gateway</h1>")).list_jobs())


def test_another_program_at_the_address_is_said():
    with pytest.raises(Unavailable, match="Is the address right"):
        list(client_of(lambda _: httpx.Response(200, html="<h1>Hello</h1>")).list_jobs())


def test_silence_is_unavailable():
    def answer(request):
        raise httpx.ReadTimeout("late", request=request)

    with pytest.raises(Unavailable, match="did not answer"):
        client_of(answer).list_workspaces()


def test_a_lookup_that_finds_nothing_is_none():
    assert client_of(lambda _: httpx.Response(404, json={"message": "No."})).find_deployment("x") is None


def test_a_list_is_read_page_by_page_and_ends_where_it_is_told_to():
    asked = []

    def answer(request):
        limit, offset = (int(request.url.params[name]) for name in ("limit", "offset"))
        asked.append((limit, offset))
        items = [{"id": number} for number in range(offset, min(offset + limit, 2500))]
        return httpx.Response(200, json={"items": items, "total": 2500, "limit": limit, "offset": offset})

    assert len(list(client_of(answer).list_jobs())) == 2500
    assert asked == [(1000, 0), (1000, 1000), (1000, 2000)]
    asked.clear()
    assert len(list(client_of(answer).list_jobs(items_max=1200))) == 1200
    assert asked == [(1000, 0), (200, 1000)]


def test_a_stream_gives_events_and_skips_what_keeps_it_open():
    said = 'retry: 1000\n\n: still here\n\nid: 7\nevent: x\ndata: {"seq": 7}\n\nid: 8\ndata: {"seq":\ndata: 8}\n\n'

    def answer(request):
        assert request.headers["last-event-id"] == "6"
        return httpx.Response(200, text=said)

    assert [event["seq"] for event in client_of(answer).follow_ledger(after=6)] == [7, 8]


def test_a_version_is_sent_as_the_contract_says():
    sent = []

    def answer(request):
        sent.append(json.loads(request.content))
        return httpx.Response(200, json={"id": "1"})

    client_of(answer).upsert_version("d", tag="1.0.0")
    assert sent == [{"tag": "1.0.0", "name": "", "status": "ready", "metadata": {}, "config": {}}]
