"""Which texts are meant by `-f`?"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from interlock.documents import sources
from interlock.documents.reading import read_documents
from interlock.documents.sources import meant_by, read_source
from interlock.model.errors import Invalid

TREE = ("a.yaml", "b.yml", "c.json", "notes.txt", ".hidden.yaml", ".git/x.yaml", "east/one.yaml", "east/draft-1.yaml")


@pytest.fixture
def fleet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for number, name in enumerate((*TREE, "east/deep/two.yaml")):
        file = tmp_path / "fleet" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"type: System\nname: s{number}\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        (["fleet"], "a.yaml b.yml c.json east/draft-1.yaml east/one.yaml east/deep/two.yaml"),
        (["fleet/*.yaml"], "a.yaml"),
        (["fleet/**/*.yaml", "!**/draft-*"], "a.yaml east/deep/two.yaml east/one.yaml"),
        (["fleet", "!draft-*", "!c.json"], "a.yaml b.yml east/one.yaml east/deep/two.yaml"),
        (["fleet", "!fleet/east"], "a.yaml b.yml c.json"),
        (["fleet", "!east/"], "a.yaml b.yml c.json"),
        (["fleet", "!**/east/**", "fleet/east/one.yaml"], "a.yaml b.yml c.json east/one.yaml"),
        (["fleet/b.yml", "fleet/b.yml", "fleet/[ab].y*ml"], "b.yml a.yaml"),
        (["fleet", "!fleet/[!a]*", "!fleet/east/?ne.yaml"], "a.yaml"),
    ],
)
def test_sources_are_gone_through_in_order_and_a_later_one_may_bring_back(
    fleet: Path, given: list[str], meant: str
) -> None:
    assert sorted(meant_by(given)) == sorted(f"fleet/{name}" for name in meant.split())


def test_a_source_that_means_nothing_is_refused(fleet: Path) -> None:
    (fleet / "empty").mkdir()
    for source in ("empty", "fleet/*.toml", "none/**/*.yaml"):
        with pytest.raises(Invalid, match="no YAML or JSON file there"):
            meant_by([source])
    with pytest.raises(Invalid, match="everything was left out"):
        read_documents(["fleet/a.yaml", "!a.yaml"])
    with pytest.raises(Invalid, match="cannot be read"):
        read_documents(["fleet/none.yaml"])


def test_a_file_that_is_no_text_or_too_large_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "a.yaml"
    file.write_bytes(b"name: \xff\xfe")
    with pytest.raises(Invalid, match="cannot be read"):
        read_source(str(file))
    monkeypatch.setattr(sources, "TEXT_BYTES_MAX", 4)
    with pytest.raises(Invalid, match="is larger than"):
        read_source(str(file))


PAGES = {
    "/fleet": (200, b"\xef\xbb\xbftype: System\nname: shop\n", "text/plain"),
    "/page": (200, b"<!doctype html>\n<p>Sign in: please", "text/html"),
    "/gone": (404, b"no", "text/plain"),
    "/large": (200, b"#" * 5000, "application/yaml"),
    "/latin": (200, b"name: \xe9", "application/yaml"),
}


@pytest.fixture
def web() -> Iterator[str]:
    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(dict(self.headers))
            if self.path == "/moved":
                self.send_response(302)
                self.send_header("location", "/fleet")
                self.end_headers()
                return
            status, body, media = PAGES[self.path]
            self.send_response(status)
            self.send_header("content-type", media)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    asked: list[dict[str, str]] = []
    server = HTTPServer(("127.0.0.1", 0), Page)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()
    assert all("x-api-key" not in {name.lower() for name in each} for each in asked)


def test_an_address_is_read_whatever_its_content_is_called(web: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in ("/fleet", "/moved"):
        (found,) = read_documents([web + path])
        assert (found.name, found.at()) == ("shop", f"{web}{path}:1")
    for path, said in (("/page", "It looks like a web page"), ("/gone", "answered 404"), ("/latin", "no UTF-8 text")):
        with pytest.raises(Invalid, match=said):
            read_documents([web + path])
    with pytest.raises(Invalid, match="cannot be read"):
        read_source("http://127.0.0.1:1/fleet.yaml")
    monkeypatch.setattr(sources, "TEXT_BYTES_MAX", 1000)
    with pytest.raises(Invalid, match="is larger than"):
        read_source(f"{web}/large")
