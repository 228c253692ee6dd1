"""Does a secret of a job stand anywhere where it may not, when its tool says it back? A canary in each, and a look.

Every agent that calls a tool gets a canary at each secret key of its config, and one in a sensitive variable that its
template or its inputs pass on. Its tool then refuses with all of them in its words, fails with them before it works, or
refuses with them when it is asked how its run goes. `exec` prints them, and ends with them in its last line. Then every
column of every table is searched, compressed ones too, and every line of the log.

A sealed value is none: it is the one place where a canary stands in the database, encrypted.

Source: issue 5, "Shown by", bad input.
"""

from __future__ import annotations

import contextlib
import logging
import sys
import zlib
from typing import Any

import orjson
import pytest
import structlog

from interlock.agents import AGENTS
from interlock.agents.keys import Secret
from interlock.model.ids import new_id
from interlock.store.variables import save_value, save_variable
from tests.flow.outsides import Outside
from tests.flow.test_handover_faults import Row, Stage, a_stage, a_worker

CALLED = ("argo-cd", "argo-workflow", "github-app", "gitlab", "kubernetes", "tfe")
SAYS = ("refuses", "fails-first", "is-asked-in-vain")
READS = {"argo-cd": 1, "kubernetes": 3, "tfe": 1}
"""How much an agent reads before it starts a run."""


def canary_of(row: Row, key: str) -> str:
    """Unlike any other text."""
    return f"canary-{row.agent}-{row.fault}-{key}-7f3a91"


def plant(row: Row, outside: Outside) -> list[str]:
    """Put a canary at each secret key of the row's config, and let the job pass its variable on. Gives what the tool
    will say back.
    """
    keys = {agent.kind: agent.keys for agent in AGENTS}[row.agent]
    config: dict[str, Any] = dict(outside.config)
    said = [canary_of(row, "variable")]
    for key in keys:
        if not isinstance(key.shape, Secret):
            continue
        canary = canary_of(row, key.name)
        said.append(canary)
        if key.name in {"token", "apiKey"}:
            outside.server.token = canary
        if key.name == "kubeconfig":
            outside.server.token = canary
            config[key.name] = outside.server.kubeconfig()
            continue
        config[key.name] = canary
    variable = "{{ .variables.password }}"
    match row.agent:
        case "argo-cd":
            config["template"] = config["template"].replace("metadata: {", f'metadata: {{labels: {{p: "{variable}"}}, ')
        case "argo-workflow":
            config["template"] += f"metadata: {{annotations: {{p: '{variable}'}}}}\n"
        case "kubernetes":
            config["template"] = config["template"].replace("annotations: {", f'annotations: {{p: "{variable}", ')
        case "tfe":
            config["template"] += f"\nvariables: [{{key: p, value: '{variable}'}}]"
        case "github-app":
            config["inputs"] = {"p": "{{ variables.password }}"}
        case "gitlab":
            config["variables"] = {"p": "{{ variables.password }}"}
        case "exec":
            code = "import os; p = os.environ['P']; print('begin', p); print(p); raise SystemExit(3)"
            config |= {"command": [sys.executable, "-c", code], "env": {"P": "{{ variables.password }}"}}
    outside.config = config
    return said


async def give_variable(stage: Stage, row: Row) -> None:
    """The row's deployment has a sensitive variable."""
    fleet, variable_id = stage.fleet, new_id()
    async with fleet.tx() as tx:
        await save_variable(
            tx,
            fleet.workspace_id,
            variable_id=variable_id,
            deployment_id=stage.deployments[row],
            key="password",
            description=None,
            sensitive=True,
        )
        await save_value(
            tx,
            fleet.workspace_id,
            value_id=new_id(),
            variable_id=variable_id,
            priority=0,
            resource_selector=None,
            value=canary_of(row, "variable"),
        )


def misbehave(row: Row, outside: Outside, said: list[str]) -> None:
    """Its tool says all that it knows, as its fault tells."""
    body = orjson.dumps({"message": f"I was told {' '.join(said)}", "error": said})
    match row.fault:
        case "refuses":
            outside.server.next_is(**outside.starts_by, status=422, body=body)
        case "fails-first":
            outside.server.next_is(status=500, body=body)
        case "is-asked-in-vain":
            outside.server.next_is(method="GET", after=READS.get(row.agent, 0), status=401, body=body)


@contextlib.contextmanager
def log_lines():
    """Every line that is logged meanwhile, whoever logs it."""
    lines: list[str] = []

    class Kept(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(record.getMessage() + str(record.exc_info or ""))

    kept = Kept()
    logging.getLogger().addHandler(kept)
    try:
        with structlog.testing.capture_logs() as entries:
            yield lines
    finally:
        logging.getLogger().removeHandler(kept)
        lines += [str(entry) for entry in entries]


async def texts_of(stage: Stage) -> list[tuple[str, str]]:
    """(where, text): every value of every column that could hold one."""
    found = []
    async with stage.fleet.store.read() as conn:
        columns = await conn.fetch(
            "SELECT table_name, column_name, data_type FROM information_schema.columns WHERE table_schema = 'public' "
            "AND data_type IN ('text', 'jsonb', 'json', 'bytea', 'ARRAY', 'character varying')"
        )
        for table, column, kind in columns:
            cast = "" if kind == "bytea" else "::text"
            for (value,) in await conn.fetch(f'SELECT "{column}"{cast} FROM "{table}" WHERE "{column}" IS NOT NULL'):
                found.append((f"{table}.{column}", value if isinstance(value, str) else unpacked(value)))
    return found


def unpacked(value: bytes) -> str:
    with contextlib.suppress(zlib.error):
        value = zlib.decompress(value)
    return value.decode("utf-8", "replace")


ROWS = [Row(agent, fault, "", 0) for agent in CALLED for fault in SAYS] + [Row("exec", "prints", "failure", 1)]


@pytest.mark.e2e
async def test_what_a_tool_says_back_is_kept_without_the_secrets_that_it_was_told(database_url, folder_for_all):
    planted: dict[Row, list[str]] = {}

    def prepare(row: Row, outside: Outside) -> None:
        planted[row] = plant(row, outside)

    folder = folder_for_all()
    async with a_stage(database_url, folder, ROWS, prepare=prepare) as stage:
        for row, outside in stage.outsides.items():
            await give_variable(stage, row)
            if row.agent != "exec":
                misbehave(row, outside, planted[row])
        with log_lines() as logged:
            async with a_worker(stage.fleet.store, folder):
                for deployment_id in stage.deployments.values():
                    await stage.fleet.version("1.0.0", deployment_id=deployment_id)
                await stage.finish(set(stage.outsides))
        texts = await texts_of(stage)
        jobs = {row: stage.job(row) for row in ROWS}
        untold = [row.name for row, outside in stage.outsides.items() if outside.server and outside.server.coming]
    assert not untold, "these said nothing"
    canaries = {canary for said in planted.values() for canary in said}
    found = sorted({f"{where}: {canary}" for where, text in texts for canary in canaries if canary in text})
    found += sorted({f"log: {canary}: {line[:300]}" for line in logged for canary in canaries if canary in line})
    assert not found, "\n".join(found)
    for row, job in jobs.items():
        if row.fault in {"refuses", "prints"}:
            assert job["status"] == "failure", row
            assert "••••" in job["message"], f"{row.name}: {job['message']}"
    assert "••••" in jobs[ROWS[-1]]["output"]
