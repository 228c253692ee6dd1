"""Does a secret stand anywhere but where it may? A canary in every secret place, a whole story, and a look everywhere.

The places come from the table of `model/secret.py` and from every way to write a sensitive value. The story deploys,
prints its secrets, fails, is measured by tools that send everything back, is asked about and replayed. Then every text
that Interlock can give is searched: the answers of all GET operations to a reader, every page of the console that links
lead to, commands, errors, logs, each column of each table, the dump, the files of the data directory.

A canary may stand in the agent's own folder, in the answer to the claim, and in what a writer reads.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.server
import json
import logging
import re
import secrets
import threading
import time
import uuid
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
import structlog
from click.testing import CliRunner

from cli.conftest import KEY
from interlock.app import start_logging
from interlock.cli import cli
from interlock.model.secret import SECRET_FIELDS, Where
from interlock.store.dump import dump_database

WAIT_S = 30.0
PAGES_MAX = 40


class Canaries:
    """A different value for each place, and what became of them."""

    def __init__(self) -> None:
        self.place_by_value: dict[str, str] = {}

    def put(self, place: str) -> str:
        value = f"canary{len(self.place_by_value):03d}x{secrets.token_hex(6)}"
        self.place_by_value[value] = place
        return value

    def found_in(self, text: str) -> list[str]:
        return sorted({place for value, place in self.place_by_value.items() if value in text})


class Echo(http.server.BaseHTTPRequestHandler):
    """A tool that says back whatever it is told, headers too."""

    def do_GET(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        said = json.dumps(
            {"headers": dict(self.headers), "body": self.rfile.read(length).decode(), "ok": False}
        ).encode()
        self.send_response(500)
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    do_POST = do_GET

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def echo_url() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def canaries(monkeypatch: pytest.MonkeyPatch) -> Canaries:
    made = Canaries()
    monkeypatch.setenv("INTERLOCK_VALUE__SHOP__OUTSIDE", made.put("outside store"))
    return made


@pytest.fixture
def real_log() -> Iterator[None]:
    """What the program configures, in place of structlog's defaults, which print every local variable."""
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    start_logging()
    yield
    structlog.reset_defaults()
    root.handlers[:] = before
    root.setLevel(level)


class Rest:
    """The workspace over REST with one key."""

    def __init__(self, url: str, key: str) -> None:
        headers = {"X-API-Key": key}
        self.raw = httpx.Client(base_url=f"{url}/api/v1/workspaces/shop", headers=headers, trust_env=False, timeout=30)

    def send(self, method: str, path: str, body: Any = None) -> Any:
        answer = self.raw.request(method, path, json=body)
        assert answer.status_code < 300, (method, path, answer.status_code, answer.text)
        return answer.json() if answer.content else None

    def get(self, path: str) -> Any:
        return self.send("GET", path)

    def until(self, path: str, enough: Callable[[Any], Any]) -> Any:
        end = time.monotonic() + WAIT_S
        while time.monotonic() < end:
            found = enough(self.get(path))
            if found:
                return found
            time.sleep(0.1)
        raise AssertionError(f"{path}: {self.get(path)}")


def settle(admin: Rest, canaries: Canaries, echo_url: str) -> dict[str, str]:
    """Everything that there is, with a canary in every secret place. Gives ids by what they are of."""
    put, ids = canaries.put, {}
    config_names = [one.name for one in SECRET_FIELDS if one.where is Where.AGENT_CONFIG]
    for name in ("pulled", "run", "planned"):
        ids[f"agent {name}"] = str(uuid.uuid4())
    pulled = {
        name: {"deep": put(f"agent {name}")} if name == "secrets" else put(f"agent {name}") for name in config_names
    }
    shown = "{{ variables.declared }} {{ variables.set }} {{ variables.own }} {{ variables.outside }}"
    command = ["sh", "-c", 'echo "I know $1"; echo "and $1" >&2; exit 3', "x", shown]
    for name, kind, config in (
        ("pulled", "http-pull", {"pool": "a", **pulled}),
        ("run", "exec", {"command": command}),
        ("planned", "test-runner", {"delaySeconds": 0}),
    ):
        admin.send("PUT", f"/job-agents/{ids[f'agent {name}']}", {"name": name, "type": kind, "config": config})
    ids["system"] = admin.send("POST", "/systems", {"name": "shop"})["id"]
    for stage in ("staging", "production"):
        selector = f"resource.metadata['env'] == '{stage}'"
        ids[stage] = admin.send("POST", "/environments", {"name": stage, "resourceSelector": selector})["id"]
        admin.send("PUT", f"/systems/{ids['system']}/environments/{ids[stage]}")
        resource = {"name": stage, "kind": "Host", "version": "v1", "metadata": {"env": stage}}
        own = {"own": {"sensitive": put(f"resource variable {stage}")}}
        admin.send(
            "PUT", f"/resources/identifier/host/{stage}".replace("host/", "host%2F"), {**resource, "variables": own}
        )
    for name in ("pulled", "run", "planned"):
        body = {
            "name": name,
            "resourceSelector": "resource.kind == 'Host'",
            "jobAgentSelector": f"jobAgent.name == '{name}'",
            "jobAgentConfig": {} if name == "run" else {"nested": {"token": put(f"deployment {name}")}},
        }
        ids[name] = admin.send("POST", "/deployments", body)["id"]
        admin.send("PUT", f"/systems/{ids['system']}/deployments/{ids[name]}")
        variables = [
            {"key": "declared", "sensitive": True, "values": [{"value": put(f"variable of {name}")}]},
            {"key": "map", "values": [{"value": {"sensitive": {"object": {"password": put(f"map of {name}")}}}}]},
            {"key": "outside", "values": [{"value": {"secretRef": {"provider": "env", "path": "OUTSIDE"}}}]},
            {"key": "set", "values": []},
            {"key": "own", "values": []},
        ]
        admin.send("PUT", f"/deployments/{ids[name]}/variables", {"variables": variables})
    older = {"ref": ids["agent planned"], "selector": "", "config": {"apiKey": put("deployment's jobAgents")}}
    ids["older"] = admin.send("POST", "/deployments", {"name": "older", "jobAgents": [older]})["id"]
    listed = [{"key": "set", "value": put("variable set"), "sensitive": True}]
    admin.send("POST", "/variable-sets", {"name": "s", "selector": "true", "priority": 1, "variables": listed})
    for name in ("datadog", "http"):
        admin.send("POST", "/policies", policy(name, canaries, echo_url))
    approval = {
        "name": "ask",
        "selector": "environment.name == 'production'",
        "rules": [{"anyApproval": {"minApprovals": 1}}],
    }
    admin.send("POST", "/policies", approval)
    entry = {"name": "j", "ref": ids["agent planned"], "selector": "", "config": {"password": put("workflow")}}
    ids["workflow"] = admin.send("POST", "/workflows", {"name": "w", "inputs": [], "jobAgents": [entry]})["id"]
    hook = {
        "name": "hook",
        "channel": "webhook",
        "url": f"{echo_url}/hook",
        "secret": f"whsec_{put('subscription'):A<44}",
    }
    admin.send("POST", "/subscriptions", {**hook, "kinds": ["job.*"]})
    chat = {"name": "chat", "channel": "slack", "url": f"{echo_url}/services/{put('slack address')}"}
    admin.send("POST", "/subscriptions", {**chat, "kinds": ["job.*"]})
    return ids


def policy(name: str, canaries: Canaries, echo_url: str) -> dict[str, Any]:
    """A policy whose metric signs in with every secret that its provider knows, to a tool that sends it back."""
    if name == "http":
        headers = {"Authorization": canaries.put("http header"), "X-Key": canaries.put("other http header")}
        provider: dict[str, Any] = {"type": "http", "url": echo_url, "headers": headers}
    else:
        keys = {one.name: canaries.put(f"datadog {one.name}") for one in SECRET_FIELDS if "datadog" in one.kinds}
        provider = {"type": "datadog", "site": echo_url, "queries": {"a": "sum:a{*}"}, **keys}
    metric = {"name": name, "intervalSeconds": 1, "count": 2, "successCondition": "result.ok", "provider": provider}
    return {"name": name, "selector": "deployment.name == 'pulled'", "rules": [{"verification": {"metrics": [metric]}}]}


def live(admin: Rest, canaries: Canaries, ids: dict[str, str], echo_url: str) -> str:
    """Deploy, claim, fail, measure, plan, ask, run. Gives the text of the claim's answer."""
    for name in ("run", "planned", "pulled"):
        version = {
            "tag": "v1",
            "jobAgentConfig": {} if name == "run" else {"secret": canaries.put(f"version of {name}")},
        }
        ids[f"version {name}"] = admin.send("POST", f"/deployments/{ids[name]}/versions", version)["id"]

    def job(deployment: str, *statuses: str) -> Any:
        return admin.until(
            f"/jobs?deploymentId={ids[deployment]}",
            lambda page: next((one for one in page["items"] if one["status"] in statuses), None),
        )

    queued = job("pulled", "queued")
    claim = f"/job-agents/{ids['agent pulled']}/jobs/{queued['id']}/claim"
    claimed = admin.raw.post(claim)
    assert claimed.status_code == 200, claimed.text
    told = {"status": "successful", "message": f"it said {claimed.text[:3000]}", "output": claimed.text}
    told["links"] = {"run": f"https://x.test/?t={next(iter(canaries.place_by_value))}"}
    admin.send("PUT", f"/jobs/{queued['id']}/status", told)
    ids["job"] = queued["id"]
    ids["failed job"] = job("run", "failure")["id"]
    job("planned", "successful")
    admin.until(f"/jobs/{queued['id']}/explain", lambda said: "failed" in json.dumps(said).lower())
    asked = admin.send("POST", "/what-if", {"changes": [{"policy": policy("http", canaries, echo_url)}]})
    ids["whatIfId"] = asked["id"]
    admin.until(f"/what-if/{asked['id']}", lambda one: one["status"] == "done")
    plan = admin.send("POST", f"/deployments/{ids['planned']}/plan", {"version": {"tag": "v2", "name": "v2"}})
    ids["planId"] = plan["id"]
    admin.until(f"/deployments/{ids['planned']}/plan/{plan['id']}", lambda one: one["status"] == "completed")
    admin.send("POST", f"/workflows/{ids['workflow']}/runs", {"inputs": {}})
    return claimed.text


@pytest.fixture
def reader(server_url: str) -> tuple[Rest, str]:
    """Somebody who may read everything and write nothing, and the key."""
    ran = CliRunner().invoke(
        cli,
        ["keys", "create", "--user", "vic", "-w", "shop", "--role", "viewer", "--url", server_url, "--api-key", KEY],
    )
    assert ran.exit_code == 0, ran.output
    key = ran.output.split()[-1]
    return Rest(server_url, key), key


def answers(reader: Rest, ids: dict[str, str]) -> Iterator[tuple[str, str]]:
    """The answers of every GET operation, with every id that the workspace has for its path."""
    document = reader.raw.get("/../../../openapi.json").json()
    known = values_of_parameters(reader, ids)
    for path, operations in document["paths"].items():
        if "get" not in operations or "/workspaces/{workspaceId}/" not in path or path.endswith("/stream"):
            continue
        inside = path.partition("/workspaces/{workspaceId}")[2]
        for wanted in filled_paths(inside, known):
            answer = reader.raw.get(wanted)
            yield f"GET {wanted}", answer.text
    for wanted in ("/resources/search", "/release-targets/state"):
        yield f"POST {wanted}", reader.raw.post(wanted, json={"limit": 50}).text


def filled_paths(path: str, known: dict[str, list[str]]) -> Iterator[str]:
    names = re.findall(r"\{(\w+)\}", path)
    if not names:
        yield path
        return
    for value in known.get(names[0], []):
        yield from filled_paths(path.replace(f"{{{names[0]}}}", value, 1), known)


def values_of_parameters(reader: Rest, ids: dict[str, str]) -> dict[str, list[str]]:
    """Parameter of a path -> the values that the workspace has for it, a few of each."""

    def listed(path: str, key: str = "id", inside: str | None = None) -> list[str]:
        items = reader.get(path)["items"]
        return [str((one[inside] if inside else one)[key]) for one in items][:3]

    jobs = reader.get("/jobs")["items"]
    ledger = reader.get("/ledger?limit=1000")["items"]
    decisions = [one["decisionId"] for one in ledger if one.get("decisionId")]
    deployments = [ids[name] for name in ("pulled", "run", "planned", "older")]
    variables = [one for each in deployments for one in reader.get(f"/deployments/{each}/variables")["items"]]
    return {
        "deploymentId": deployments,
        "jobAgentId": listed("/job-agents"),
        "policyId": listed("/policies"),
        "jobId": [one["id"] for one in jobs],
        "releaseId": [one["releaseId"] for one in jobs if one.get("releaseId")],
        "decisionId": list(dict.fromkeys(decisions))[:4],
        "versionId": [ids[f"version {name}"] for name in ("pulled", "run", "planned")],
        "deploymentVersionId": [ids[f"version {name}"] for name in ("pulled", "run", "planned")],
        "variableId": [one["variable"]["id"] for one in variables],
        "valueId": [value["id"] for one in variables for value in one["values"]],
        "variableSetId": listed("/variable-sets"),
        "environmentId": [ids["staging"], ids["production"]],
        "systemId": [ids["system"]],
        "identifier": ["host%2Fstaging", "host%2Fproduction"],
        "releaseTargetKey": listed("/release-targets", "key"),
        "rolloutId": listed("/rollouts"),
        "requestId": listed("/approval-requests"),
        "workflowId": [ids["workflow"]],
        "slug": ["w"],
        "whatIfId": [ids["whatIfId"]],
        "planId": [ids["planId"]],
        "subscriptionId": listed("/subscriptions"),
        "deliveryId": [],
    }


def pages(url: str, key: str) -> Iterator[tuple[str, str]]:
    """Every page of the console that links lead a viewer to."""
    with httpx.Client(base_url=url, trust_env=False, timeout=30) as browser:
        form = browser.get("/sign-in").text
        fields = dict(re.findall(r'<input[^>]*name="(\w+)"[^>]*value="([^"]*)"', form))
        entered = browser.post("/sign-in", data={**fields, "key": key}, headers={"Origin": url})
        assert entered.status_code == 303, entered.text
        seen, left = set(), ["/w/shop"]
        while left and len(seen) < PAGES_MAX:
            path = left.pop(0)
            page = browser.get(path)
            yield f"page {path}", page.text
            seen.add(path)
            for link in re.findall(r'href="(/w/shop[^"#]*)"', page.text):
                link = link.replace("&amp;", "&")
                if link not in seen and link not in left and not link.endswith("/live"):
                    left.append(link)
        assert len(seen) > 10, seen


def commands(url: str, key: str, ids: dict[str, str]) -> Iterator[tuple[str, str]]:
    """What the command line prints for a reader."""
    environment = {"INTERLOCK_URL": url, "INTERLOCK_API_KEY": key, "INTERLOCK_WORKSPACE": "shop"}
    for arguments in (
        ["get", "agents", "-o", "json"],
        ["get", "deployments", "-o", "json"],
        ["get", "jobs", "-o", "json"],
        ["get", "policies", "-o", "json"],
        ["get", "variable-sets", "-o", "json"],
        ["explain", "pulled"],
        ["explain", "run", "v1"],
        ["trace", "pulled", "v1"],
        ["ledger", "-o", "json"],
        ["policies", "pulled"],
        ["export"],
    ):
        yield f"interlock {' '.join(arguments)}", CliRunner().invoke(cli, arguments, env=environment).output


def errors(admin: Rest, canaries: Canaries, ids: dict[str, str]) -> Iterator[tuple[str, str]]:
    """What is said of writes that hold a secret and cannot be taken: such texts are logged, by others too."""
    put = canaries.put
    bad_provider = {
        "type": "datadog",
        "site": "x y",
        "apiKey": put("refused apiKey"),
        "appKey": [put("refused appKey")],
    }
    metric = {"name": "m", "intervalSeconds": 0, "count": 1, "successCondition": "no CEL (", "provider": bad_provider}
    headers = {"type": "http", "url": "ftp://x", "headers": {"A\nB": put("refused header"), "C": 1}}
    value, agent = f"/deployment-variable-values/{uuid.uuid4()}", f"/job-agents/{uuid.uuid4()}"
    variable = admin.get(f"/deployments/{ids['run']}/variables")["items"][0]["variable"]["id"]
    wrong_path = {"sensitive": {"reference": 1, "path": put("wrong path")}}
    at_value = {"deploymentVariableId": variable, "priority": 0, "sensitive": True}
    unknown = {**at_value, "deploymentVariableId": str(uuid.uuid4())}
    policies = [{"verification": {"metrics": [each]}} for each in (metric, {**metric, "provider": headers})]
    for method, path, body in (
        ("PUT", agent, {"name": "x", "type": "exec", "config": {"token": put("refused token"), "command": 1}}),
        ("PUT", agent, {"name": "pulled", "type": "http-pull", "config": {"token": put("taken name")}}),
        ("PUT", agent, {"name": [put("wrong name")], "type": "exec", "config": put("wrong config")}),
        ("POST", "/policies", {"name": "m", "rules": policies[:1]}),
        ("POST", "/policies", {"name": "m", "rules": policies[1:]}),
        ("PUT", value, {**at_value, "priority": put("wrong priority"), "value": wrong_path}),
        ("PUT", value, {**at_value, "value": wrong_path}),
        ("PUT", value, {**at_value, "value": put("too long") * 5000}),
        ("PUT", value, {**unknown, "value": put("unknown variable")}),
        ("PATCH", "/resources/identifier/host%2Fstaging/variables", {"a": {"sensitive": {"$secret": put("marker")}}}),
    ):
        answer = admin.raw.request(method, path, json=body)
        assert 400 <= answer.status_code < 500, (path, answer.status_code, answer.text)
        yield f"refusal of {method} {path}", answer.text


async def rows(url: str, folder: Path) -> list[tuple[str, str]]:
    """Every column of every table that can hold text, what is packed unpacked; and the dump of the database."""
    found = []
    conn = await asyncpg.connect(url)
    try:
        columns = await conn.fetch(
            "SELECT table_name, column_name, data_type FROM information_schema.columns WHERE table_schema = 'public' "
            "AND data_type IN ('text', 'jsonb', 'json', 'bytea', 'ARRAY', 'character varying')"
        )
        for table, column, kind in columns:
            cast = "" if kind == "bytea" else "::text"
            values = await conn.fetch(f'SELECT "{column}"{cast} FROM "{table}" WHERE "{column}" IS NOT NULL')
            found += [(f"column {table}.{column}", unpacked(row[0])) for row in values]
    finally:
        await conn.close()
    file = folder / "all.dump"
    await dump_database(url, file)
    with zipfile.ZipFile(file) as dump:
        found += [(f"dump {name}", dump.read(name).decode("utf-8", "replace")) for name in dump.namelist()]
    return found


def unpacked(value: str | bytes) -> str:
    if isinstance(value, str):
        return value
    with contextlib.suppress(zlib.error):
        value = zlib.decompress(value)
    return value.decode("utf-8", "replace")


def files(folder: Path) -> Iterator[tuple[str, str]]:
    """The data directory, but the folders of the exec agent's runs: those are its start call."""
    for file in folder.rglob("*"):
        if file.is_file() and "exec" not in file.relative_to(folder).parts:
            yield f"file {file.name}", file.read_bytes().decode("utf-8", "replace")


def test_no_secret_stands_where_it_must_not(
    real_log: None,
    canaries: Canaries,
    server_url: str,
    reader: tuple[Rest, str],
    echo_url: str,
    database_url: str,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    admin = Rest(server_url, KEY)
    ids = settle(admin, canaries, echo_url)
    claimed = live(admin, canaries, ids, echo_url)
    assert len(canaries.found_in(claimed)) > 12, "the agent that claims gets the values"
    assert canaries.found_in(json.dumps(admin.get("/policies"))), "a writer reads back what it wrote"
    context = next((tmp_path / "data" / "exec").rglob("context.json")).read_text()
    assert "variable of run" in canaries.found_in(context), "the agent that is started gets the values"
    rest, key = reader
    looked = 0
    leaks: dict[str, list[str]] = {}
    said = capfd.readouterr()
    for where, text in (
        *answers(rest, ids),
        *pages(server_url, key),
        *commands(server_url, key, ids),
        *errors(admin, canaries, ids),
        *asyncio.run(rows(database_url, tmp_path)),
        *files(tmp_path / "data"),
        ("log", said.out + said.err),
    ):
        looked += 1
        if found := canaries.found_in(text):
            leaks.setdefault(where, []).extend(found)
        if (
            where.startswith(("GET", "POST", "page", "interlock", "refusal"))
            and "$secret" in text
            and "word of ours" not in text
        ):
            leaks.setdefault(where, []).append("a marker")
    assert not leaks, "\n".join(f"{where}: {', '.join(sorted(set(found)))}" for where, found in leaks.items())
    assert looked > 300, looked
    later = capfd.readouterr()
    assert not canaries.found_in(later.out + later.err)
