"""What becomes of an answer, what is asked again, and how a list and a stream are read: over recorded answers."""

from __future__ import annotations

import contextlib
import json
from urllib.parse import parse_qs, urlsplit

import pytest

from interlock.client import Client
from interlock.client.calls import WAIT_MAX_S, Calls, api_root, path
from interlock.client.transport import Answer, Unanswered, Unreachable
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


class Recorded:
    """Carries requests to a function."""

    def __init__(self, answer):
        self.answer = answer

    def exchange(self, request):
        return self.answer(request)

    @contextlib.contextmanager
    def stream(self, request, *, silence_max_s):
        answer = self.answer(request)
        yield answer, iter(answer.body.decode().split("\n"))

    def close(self):
        pass


def said(status, body=None, *, text="", **headers):
    """An answer with this JSON, or this text."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status, named, text.encode() if body is None else json.dumps(body).encode())


def client_of(answer):
    """A client whose server is this function, and which does not wait."""
    made = Client("http://interlock.test", api_key="k", workspace="shop", transport=Recorded(answer))
    made.calls._sleep = lambda _: None
    return made


def query_of(request):
    return {name: values[-1] for name, values in parse_qs(urlsplit(request.target).query).items()}


@pytest.mark.parametrize("url", ["http://h", "http://h/", "http://h/api", "http://h/api/"])
def test_an_address_may_end_in_a_slash_or_in_api(url):
    assert api_root(url) == "http://h/api"


def test_a_slash_inside_an_identifier_stays_inside_its_segment():
    asked = []

    def answer(request):
        asked.append(request.target)
        return said(200, {})

    client_of(answer).find_resource("arn:aws:eks:eu/prod cluster")
    assert asked == ["/v1/workspaces/shop/resources/identifier/arn%3Aaws%3Aeks%3Aeu%2Fprod%20cluster"]
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
    client = client_of(lambda _: said(status, {"message": "No.", "code": "WHY"}))
    with pytest.raises(error) as raised:
        list(client.list_jobs())
    assert type(raised.value) is error
    assert raised.value.message == "No."
    if status < 500:
        assert raised.value.code == "WHY"


def test_refused_fields_keep_their_paths():
    body = {"message": "No.", "details": [{"path": "rules[0]", "message": "is unknown"}, "noise"]}
    with pytest.raises(Invalid) as raised:
        client_of(lambda _: said(400, body)).put_policy("x", {})
    assert [(field.path, field.message) for field in raised.value.fields] == [("rules[0]", "is unknown")]


def test_an_error_without_a_body_of_ours_still_says_something():
    with pytest.raises(Unavailable, match="answered 502"):
        list(client_of(lambda _: said(502, text="<h1>Bad Gateway</h1>")).list_jobs())


def test_another_program_at_the_address_is_said():
    with pytest.raises(Unavailable, match="Is the address right"):
        list(client_of(lambda _: said(200, text="<h1>Hello</h1>")).list_jobs())


def test_silence_is_unavailable():
    def answer(request):
        raise Unanswered("http://interlock.test did not answer within 30 s.")

    with pytest.raises(Unavailable, match="did not answer"):
        client_of(answer).list_workspaces()


def test_a_lookup_that_finds_nothing_is_none():
    assert client_of(lambda _: said(404, {"message": "No."})).find_deployment("x") is None


def test_a_list_is_read_page_by_page_and_ends_where_it_is_told_to():
    asked = []

    def answer(request):
        limit, offset = (int(query_of(request)[name]) for name in ("limit", "offset"))
        asked.append((limit, offset))
        items = [{"id": number} for number in range(offset, min(offset + limit, 2500))]
        return said(200, {"items": items, "total": 2500, "limit": limit, "offset": offset})

    assert len(list(client_of(answer).list_jobs())) == 2500
    assert asked == [(1000, 0), (1000, 1000), (1000, 2000)]
    asked.clear()
    assert len(list(client_of(answer).list_jobs(items_max=1200))) == 1200
    assert asked == [(1000, 0), (200, 1000)]


def test_a_stream_gives_events_and_skips_what_keeps_it_open():
    story = 'retry: 1000\n\n: still here\n\nid: 7\nevent: x\ndata: {"seq": 7}\n\nid: 8\ndata: {"seq":\ndata: 8}\n\n'

    def answer(request):
        assert request.headers["last-event-id"] == "6"
        return said(200, text=story)

    assert [event["seq"] for event in client_of(answer).follow_ledger(after=6)] == [7, 8]


def test_a_version_is_sent_as_the_contract_says():
    sent = []

    def answer(request):
        sent.append(json.loads(request.body))
        return said(200, {"id": "1"})

    client_of(answer).upsert_version("d", tag="1.0.0")
    assert sent == [{"tag": "1.0.0", "name": "", "status": "ready", "metadata": {}, "config": {}}]


class TestAskingAgain:
    def tried(self, ask, *answers):
        """(what came of it, how often it was asked, what was waited)."""
        left, waits, keys = list(answers), [], []

        def answer(request):
            keys.append(request.headers.get("idempotency-key"))
            given = left.pop(0)
            if isinstance(given, Exception):
                raise given
            return given

        calls = Calls("http://h", api_key="k", transport=Recorded(answer), sleep=waits.append)
        try:
            came = ask(calls)
        except Exception as error:
            came = type(error)
        assert len(set(keys)) == 1
        return came, len(keys), waits

    @pytest.mark.parametrize("status", [429, 502, 503, 504])
    @pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "POST"])
    def test_what_is_harmless_to_ask_twice_is_asked_again(self, method, status):
        came, asked, waits = self.tried(lambda calls: calls.request(method, "/x"), said(status), said(200, {"a": 1}))
        assert (came, asked, len(waits)) == ({"a": 1}, 2, 1)

    def test_a_patch_is_asked_again_only_where_it_was_not_taken(self):
        def patch(calls):
            return calls.request("PATCH", "/x", body={})

        assert self.tried(patch, said(503))[:2] == (StoreUnavailable, 1)
        assert self.tried(patch, Unanswered("?"))[:2] == (Unanswered, 1)
        assert self.tried(patch, said(429), said(200, {}))[:2] == ({}, 2)
        assert self.tried(patch, Unreachable("?"), said(200, {}))[:2] == ({}, 2)

    def test_it_waits_as_long_as_the_server_says_but_not_for_ever(self):
        def get(calls):
            return calls.request("GET", "/x")

        assert self.tried(get, said(503, retry_after="7"), said(200, {}))[2] == [7.0]
        late = said(429, retry_after=str(int(WAIT_MAX_S) + 1))
        assert self.tried(get, late)[:2] == (Unavailable, 1)

    def test_it_gives_up(self):
        came, asked, waits = self.tried(lambda calls: calls.request("GET", "/x"), *[Unreachable("?")] * 3)
        assert (came, asked) == (Unreachable, 3)
        assert waits[0] < waits[1]

    @pytest.mark.parametrize("status", [400, 404, 409, 500])
    def test_a_refusal_is_an_answer(self, status):
        assert self.tried(lambda calls: calls.request("GET", "/x"), said(status))[1] == 1

    def test_what_was_deleted_in_a_lost_try_is_gone(self):
        came, asked, _ = self.tried(lambda calls: calls.request("DELETE", "/x"), Unanswered("?"), said(404))
        assert (came, asked) == (None, 2)
