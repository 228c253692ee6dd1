"""`interlock subscription` as a person uses it, against a running server."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest


@pytest.fixture
def receiver() -> Iterator[HTTPServer]:
    """A web server that takes everything; `server.calls` are the webhook ids that came."""

    class Taking(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            server.calls.append(self.headers["webhook-id"])
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Taking)
    server.calls = []
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_subscription_is_made_tested_looked_at_and_ended(interlock, client, receiver, tmp_path):
    text = tmp_path / "text.txt"
    text.write_text("{{ headline }}")
    url = f"http://127.0.0.1:{receiver.server_port}/hook"
    made = interlock("subscription", "create", "ci", "--webhook", url, "--kind", "system.*", "--template",
                     f"system.*={text}", "--remind", "2h", "--group", "leads").output  # fmt: skip
    assert "subscription ci tells system.*" in made and "secret whsec_" in made
    assert "delivered in" in interlock("subscription", "test", "ci").output
    assert len(receiver.calls) == 1
    shown = interlock("subscription", "show", "ci").output
    assert "whsec_" in shown and "remindAfterHours  2.0" in shown
    listed = interlock("subscription", "list").output
    assert "approvers" in listed and "ci" in listed and "active" in listed
    sent = interlock("subscription", "deliveries", "ci", "--limit", "3").output
    assert "interlock.test (test)" in sent and "delivered" in sent and "204" in sent
    assert "signs until" in interlock("subscription", "rotate", "ci", "--overlap-hours", "1").output
    assert "paused ci" in interlock("subscription", "pause", "ci", "--reason", "audit").output
    assert "is paused" in interlock("subscription", "redeliver", "ci", sent.splitlines()[1][:8], fails=True).output
    assert "ci is active" in interlock("subscription", "resume", "ci").output
    assert "deleted ci" in interlock("subscription", "delete", "ci").output
    assert "No subscription" in interlock("subscription", "show", "ci", fails=True).output
    member = next(iter(client.list_members()))["name"]
    assert "is written to at a@example.org" in interlock("subscription", "address", member, "a@example.org").output


def test_what_is_wrong_on_the_command_line_is_one_sentence(interlock):
    both = interlock("subscription", "create", "x", "--webhook", "https://x.org", "--to", "a@b.org", fails=True)
    assert "Give one of --webhook, --slack and --to." in both.output
    unknown = interlock("subscription", "create", "x", "--to", "a@b.org", "--kind", "nothing", fails=True)
    assert "No event is called `nothing`" in unknown.output
