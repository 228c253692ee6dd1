"""Whatever happens at a hand-over, the job ends right, and the outside works as often as the agent's class promises.

    keyed       exec, argo-cd, argo-workflow, kubernetes, test-runner: exactly one run
    told        webhook: the same, where the receiver knows its keys
    findable    github-app, gitlab, tfe: at most one; with `repeatUncertain` one more where the first is not found in
                time

Each row of the tables is a sentence: this agent, this fault, this end, so many runs. All rows of a table are played
together, each with a deployment, an agent and an outside of its own, and each test looks at its own row.

CRASHES are deaths of a real worker process: it brings every job to the point of its row and is killed there, once, with
SIGKILL (`held_worker.py`). Then another worker goes on.

Source: core.md section 5; issue 5, "Hand-over".
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
import pytest_asyncio

from interlock.agents import build_agents
from interlock.api import build_api
from interlock.metrics import build_metrics
from interlock.model.ids import new_id
from interlock.model.job import JobStatus
from interlock.outside.http import Http
from interlock.outside.secrets import Keyring
from interlock.settings import Settings
from interlock.store.agents import save_agent
from interlock.store.deployments import save_deployment
from interlock.store.freezes import set_freeze
from interlock.store.jobs import ask_cancel, find_flow_job
from interlock.store.systems import link
from interlock.store.tx import Store
from interlock.web.signatures import GITHUB, signature
from interlock.workers import run_workers
from tests.flow.held_worker import KEY, Point, settings
from tests.flow.outsides import Outside, an_outside
from tests.store.fleet import Fleet, a_deployment, a_fleet, a_freeze, until

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.e2e]

ROOT = Path(__file__).parents[2]
PATIENCE_S = 180.0
"""Longer than a try that came to nothing (`startTimeoutSeconds` and 15 s) and an unused turn (60 s) together."""

KEYED = ("exec", "argo-cd", "argo-workflow", "kubernetes", "test-runner", "webhook")
FINDABLE = ("github-app", "gitlab", "tfe")
LAGGING = ("github-app", "gitlab")
CALLED = ("argo-cd", "argo-workflow", "kubernetes", "webhook", *FINDABLE)
"""Whose start is a call that can be cut in two."""

REPEAT = (("repeatUncertain", True),)


@dataclass(frozen=True, slots=True)
class Row:
    """This agent meets this fault: the job ends so, after so many runs of the outside."""

    agent: str
    fault: str
    status: str
    runs: int
    config: tuple[tuple[str, Any], ...] = ()

    @property
    def name(self) -> str:
        """The deployment's name: the fault is what stands before the first dot."""
        return ".".join((self.fault, self.agent, *(key for key, _ in self.config)))


@dataclass(slots=True)
class Played:
    """What became of a row."""

    status: str
    runs: int | None
    attempt: int
    handed_over: int
    said: str | None


def crashes() -> list[Row]:
    """A crash of the worker, for each agent."""
    rows = []
    for agent in (*KEYED, *FINDABLE):
        ends_well = [
            Point.BEFORE_HANDOVER,
            Point.AFTER_CALL,
            Point.BEFORE_SETTLING,
            Point.AFTER_SETTLING,
            Point.BEFORE_LOOK,
            Point.AFTER_LOOK,
            Point.AT_END,
            Point.BEFORE_END,
        ]
        if agent != "test-runner":
            ends_well.append(Point.IN_CALL_DONE)
        rows += [Row(agent, point, "successful", 1) for point in ends_well]
        long = (("delaySeconds", 60),) if agent == "test-runner" else ()
        rows += [Row(agent, point, "cancelled", 1, long) for point in (Point.BEFORE_CANCEL, Point.AFTER_CANCEL)]
    for agent in KEYED:
        rows.append(Row(agent, Point.AFTER_HANDOVER, "successful", 1))
        if agent != "test-runner":
            rows.append(Row(agent, Point.IN_CALL, "successful", 1))
    for agent in FINDABLE:
        for point in (Point.AFTER_HANDOVER, Point.IN_CALL):
            rows.append(Row(agent, point, "externalRunNotFound", 0))
            rows.append(Row(agent, point, "successful", 1, REPEAT))
    return rows


CRASHES = crashes()
CANCELS = {Point.BEFORE_CANCEL, Point.AFTER_CANCEL}
ENDS = {Point.AT_END, Point.BEFORE_END}
CUTS = {Point.IN_CALL: "wait_s", Point.IN_CALL_DONE: "late_s"}


# The stage ------------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Stage:
    """A fleet with a deployment, an agent and an outside for each row."""

    fleet: Fleet
    folder: Path
    outsides: dict[Row, Outside] = field(default_factory=dict)
    deployments: dict[Row, str] = field(default_factory=dict)
    jobs: dict[str, Any] = field(default_factory=dict)

    async def look(self) -> None:
        """Keep `jobs` (deployment id -> its newest job) up to date: one query for everybody who waits."""
        while True:
            async with self.fleet.store.read() as conn:
                rows = await conn.fetch(
                    "SELECT DISTINCT ON (deployment_id) * FROM job ORDER BY deployment_id, created_at DESC, id DESC"
                )
            self.jobs = {str(row["deployment_id"]): row for row in rows}
            await asyncio.sleep(0.1)

    def job(self, row: Row) -> Any:
        """The row's newest job as it was a moment ago; None while there is none."""
        return self.jobs.get(self.deployments[row])

    async def add(self, row: Row, outside: Outside) -> None:
        """The row's job will be there once its version is."""
        fleet, agent_id, deployment_id = self.fleet, new_id(), new_id()
        async with fleet.tx() as tx:
            await save_agent(
                tx,
                fleet.workspace_id,
                agent_id=agent_id,
                name=row.name[-60:],
                kind=row.agent,
                config=outside.config,
                metadata={},
            )
            made = a_deployment(deployment_id, row.name)
            made["job_agent_selector"] = f"jobAgent.id == '{agent_id}'"
            await save_deployment(tx, fleet.workspace_id, **made)
            await link(
                tx, fleet.workspace_id, system_id=fleet.system_id, child_kind="deployment", child_id=deployment_id
            )
        self.outsides[row], self.deployments[row] = outside, deployment_id

    async def end(self, row: Row) -> None:
        """The row's run ends well."""
        self.outsides[row].finish()

    async def ask_cancel(self, row: Row) -> None:
        """A person asks for the end of the row's job."""
        async with self.fleet.tx() as tx:
            job = await find_flow_job(tx.conn, str(self.job(row)["id"]))
            assert job is not None
            await ask_cancel(tx, job, reason="not today")

    async def finish(self, rows: set[Row]) -> None:
        """Let the runs of these rows end as soon as there are some, until every job is over."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                over = {each for each, job in self.jobs.items() if JobStatus(job["status"]).terminal}
                if len(over) == len(self.deployments):
                    return
                for row in rows:
                    if self.deployments[row] not in over and self.outsides[row].runs() != 0:
                        self.outsides[row].finish()
                await asyncio.sleep(0.1)

    async def played(self) -> dict[Row, Played]:
        """What became of each row."""
        found = {}
        for row, outside in self.outsides.items():
            async with self.fleet.store.read() as conn:
                job = await conn.fetchrow("SELECT * FROM job WHERE id = $1", self.job(row)["id"])
                handed_over = await conn.fetchval(
                    "SELECT count(*) FROM ledger WHERE kind = 'job.handed_over' AND subject_id = $1", job["id"]
                )
            found[row] = Played(job["status"], outside.runs(), job["attempt"], handed_over, job["message"])
        return found


@contextlib.asynccontextmanager
async def a_stage(
    url: str, folder: Path, rows: list[Row], *, prepare: Callable[[Row, Outside], None] | None = None
) -> AsyncIterator[Stage]:
    """The rows' fleet on a database, their versions not yet there. Each outside is prepared first."""
    store = await Store.open(url, keyring=Keyring([KEY]))
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(store.close)
        stage = Stage(await a_fleet(store, {"host": "prod"}), folder)
        for number, row in enumerate(rows):
            outside = await stack.enter_async_context(
                an_outside(
                    row.agent, folder / "outside" / str(number), endless="cancel" in row.fault, **dict(row.config)
                )
            )
            if prepare is not None:
                prepare(row, outside)
            await stage.add(row, outside)
        looking = asyncio.create_task(stage.look())
        try:
            yield stage
        finally:
            looking.cancel()
            await asyncio.gather(looking, return_exceptions=True)


async def go(stage: Stage) -> None:
    """A version for each deployment."""
    for deployment_id in stage.deployments.values():
        await stage.fleet.version("1.0.0", deployment_id=deployment_id)


@contextlib.asynccontextmanager
async def a_worker(store: Store, folder: Path) -> AsyncIterator[None]:
    """The product's worker, in this process."""
    stop = asyncio.Event()
    async with Http(allow_private_addresses=True) as http:
        agents = build_agents(exec_root=folder / "exec", exec_enabled=True, http=http)
        working = asyncio.create_task(run_workers(store, agents, build_metrics(http), settings(folder), stop))
        try:
            yield
        finally:
            stop.set()
            await working


# A crash at each point ------------------------------------------------------------------------------------------------


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def database(pg, databases, migrated_template) -> AsyncIterator[Any]:
    """`await database()`: the address of a fresh database that lives as long as the module."""
    made = []

    async def make() -> str:
        made.append(await databases.copy(migrated_template))
        return str(pg.url_of(made[-1]))

    yield make
    for name in made:
        await databases.drop(name)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def after_crashes(database: Any, folder_for_all: Any) -> dict[Row, Played]:
    """Every row of CRASHES, played."""
    url, folder = await database(), folder_for_all()
    async with a_stage(url, folder, CRASHES) as stage:
        for row, outside in stage.outsides.items():
            how = CUTS.get(Point(row.fault))
            if how is not None and outside.starts_by is not None:
                outside.server.next_is(**outside.starts_by, **{how: 3600})
        await go(stage)
        await kill_where_each_is_held(stage, url)
        for outside in stage.outsides.values():
            if outside.server is not None:
                outside.server.coming.clear()
        async with stage.fleet.store.read() as conn:  # the dead worker's leases end
            await conn.execute("UPDATE work SET leased_until = clock_timestamp() WHERE owner IS NOT NULL")
        async with a_worker(stage.fleet.store, folder):
            await stage.finish({row for row in stage.outsides if row.fault not in CANCELS})
        found = await stage.played()
        shutil.rmtree(folder / "exec", ignore_errors=True)
        return found


async def kill_where_each_is_held(stage: Stage, url: str) -> None:
    """A worker process brings each job to the point of its row; then it is killed."""
    folder, cut = stage.folder, set()
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (ROOT / "src", ROOT, ROOT / "tests")))}
    with (folder / "held.log").open("wb") as log:
        held = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tests.flow.held_worker",
            url,
            str(folder),
            cwd=ROOT,
            env=environment,
            stdout=log,
            stderr=log,
        )
    for row, outside in stage.outsides.items():
        if row.fault in CUTS and outside.starts_by is not None:
            cut.add(row)
    wanted = {row.name for row in stage.outsides} - {row.name for row in cut}
    acts = {**dict.fromkeys(CANCELS, stage.ask_cancel), **dict.fromkeys(ENDS, stage.end)}
    to_act = [row for row in stage.outsides if row.fault in acts]

    async def arrived() -> bool:
        assert held.returncode is None, (folder / "held.log").read_text()[-4000:]
        for row in [row for row in to_act if (job := stage.job(row)) and job["status"] == "inProgress"]:
            to_act.remove(row)
            await acts[Point(row.fault)](row)
        await asyncio.sleep(0.1)
        if any(stage.outsides[row].server.coming for row in cut):
            return False
        file = folder / "arrived"
        return file.exists() and wanted <= set(file.read_text().splitlines())

    try:
        await until(arrived, timeout_s=PATIENCE_S)
    except TimeoutError as late:
        there = set((folder / "arrived").read_text().splitlines())
        late.add_note(f"never reached: {sorted(wanted - there)}\n{(folder / 'held.log').read_text()[-4000:]}")
        raise
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(held.pid, signal.SIGKILL)
        await held.wait()


@pytest.mark.parametrize("row", CRASHES, ids=lambda row: row.name)
async def test_a_worker_that_is_killed_there_loses_no_job_and_runs_none_twice(after_crashes, row):
    played = after_crashes[row]
    assert (played.status, played.runs) == (row.status, row.runs if played.runs is not None else None), played


# An outside that misbehaves, and people who do something meanwhile ----------------------------------------------------


@dataclass(slots=True)
class Scene:
    """One row, as its play sees it."""

    stage: Stage
    row: Row
    api: httpx.AsyncClient
    frozen: str | None = None

    @property
    def outside(self) -> Outside:
        return self.stage.outsides[self.row]

    def start_meets(self, **how: Any) -> None:
        """The call that makes the run meets this."""
        assert self.outside.starts_by is not None
        self.outside.server.next_is(**self.outside.starts_by, **how)

    async def deploy(self) -> None:
        await self.stage.fleet.version("1.0.0", deployment_id=self.stage.deployments[self.row])

    async def becomes(self, **wanted: str) -> Any:
        """Wait until the row's job is so, and give it."""

        async def is_so() -> bool:
            job = self.stage.job(self.row)
            return job is not None and all(job[key] == value for key, value in wanted.items())

        await until(is_so, timeout_s=PATIENCE_S)
        return self.stage.job(self.row)

    async def ends(self) -> None:
        """Its run ends well as soon as there is one, and its job is over."""

        async def is_over() -> bool:
            if self.outside.runs() != 0:
                self.outside.finish()
            job = self.stage.job(self.row)
            return job is not None and JobStatus(job["status"]).terminal

        await until(is_over, timeout_s=PATIENCE_S)

    async def freeze(self) -> None:
        fleet = self.stage.fleet
        async with fleet.tx() as tx:
            told = {**a_freeze(fleet), "scope_kind": "deployment", "scope_id": self.stage.deployments[self.row]}
            self.frozen = (await set_freeze(tx, fleet.workspace_id, **told)).id

    async def thaw(self) -> None:
        assert self.frozen is not None
        await self.stage.fleet.thaw(self.frozen)

    async def webhook(self, conclusion: str, *, number: int = 1) -> None:
        """GitHub says how the run ended."""
        job = self.stage.job(self.row)
        run = {"id": number, "name": f"Deploy {job['id']}", "status": "completed", "conclusion": conclusion}
        raw = orjson.dumps({"action": "completed", "workflow_run": run})
        signed = {"x-github-event": "workflow_run", GITHUB.header: signature(GITHUB, raw, secret=WEBHOOK_SECRET)}
        answer = await self.api.post("/api/github/webhook", content=raw, headers=signed)
        assert answer.status_code == 200, answer.text


async def the_call_times_out_though_it_was_done(scene: Scene) -> None:
    scene.start_meets(late_s=3600)
    await scene.deploy()
    await scene.ends()


async def the_call_times_out_and_nothing_was_done(scene: Scene) -> None:
    scene.start_meets(wait_s=3600)
    await scene.deploy()
    await scene.ends()


async def the_call_is_taken_long_after_it_timed_out(scene: Scene) -> None:
    scene.start_meets(wait_s=1.2)
    await scene.deploy()
    await scene.ends()


async def the_answer_is_lost(scene: Scene) -> None:
    scene.start_meets(cut_after=True)
    await scene.deploy()
    await scene.ends()


async def the_connection_is_cut_before_anything_is_done(scene: Scene) -> None:
    scene.start_meets(cut=True)
    await scene.deploy()
    await scene.ends()


async def the_answer_is_lost_and_the_list_lags(scene: Scene) -> None:
    scene.outside.server.lag_s = 1.0
    await the_answer_is_lost(scene)


async def the_answer_is_lost_and_the_list_lags_too_long(scene: Scene) -> None:
    scene.outside.server.lag_s = 3600.0
    scene.start_meets(cut_after=True)
    await scene.deploy()

    async def is_over_or_repeated() -> bool:
        job = scene.stage.job(scene.row)
        return job is not None and (scene.outside.runs() == 2 or JobStatus(job["status"]).terminal)

    await until(is_over_or_repeated, timeout_s=PATIENCE_S)
    scene.outside.server.lag_s = 0.0
    await scene.ends()


async def the_run_is_not_to_be_seen_for_a_while(scene: Scene) -> None:
    await scene.deploy()
    await scene.becomes(status="inProgress")
    for _ in range(3):
        scene.outside.server.next_is(method="GET", status=404, body=b'{"message": "not found"}')
    await scene.ends()


async def the_credentials_end_while_it_runs(scene: Scene) -> None:
    await scene.deploy()
    await scene.becomes(status="inProgress")
    for _ in range(2):
        scene.outside.server.next_is(method="GET", status=401, body=b'{"message": "expired"}')
    await scene.ends()


async def the_start_is_asked_to_wait(scene: Scene) -> None:
    scene.start_meets(status=429, headers={"Retry-After": "1"})
    await scene.deploy()
    await scene.ends()


async def the_answer_is_lost_and_the_next_start_is_refused(scene: Scene) -> None:
    scene.start_meets(cut_after=True)
    scene.outside.server.next_is(method="GET", after=1, status=401, body=b'{"message": "for a moment"}')
    await scene.deploy()
    await scene.ends()


async def the_start_is_refused(scene: Scene) -> None:
    scene.start_meets(status=422, body=b'{"message": "no such ref"}')
    await scene.deploy()
    await scene.ends()


async def a_webhook_comes_twice(scene: Scene) -> None:
    await scene.deploy()
    await scene.becomes(status="inProgress")
    for _ in range(2):
        await scene.webhook("success")
    await scene.becomes(status="successful")


async def a_webhook_comes_late(scene: Scene) -> None:
    await scene.deploy()
    await scene.ends()
    await scene.webhook("failure")
    await scene.webhook("success", number=2)


async def a_webhook_comes_before_the_answer(scene: Scene) -> None:
    scene.start_meets(late_s=3600)
    await scene.deploy()

    async def runs() -> bool:
        return bool(scene.outside.runs()) and scene.stage.job(scene.row) is not None

    await until(runs, timeout_s=PATIENCE_S)
    await scene.webhook("success")
    job = await scene.becomes(status="successful")
    assert job["handover"] == "started", "the news is the answer"
    scene.outside.server.let_go.set()


async def a_webhook_comes_instead_of_the_answer(scene: Scene) -> None:
    scene.outside.server.lag_s = 3600.0
    scene.start_meets(cut_after=True)
    await scene.deploy()
    await scene.becomes(handover="uncertain")
    await scene.webhook("success")
    await scene.becomes(status="successful")
    await asyncio.sleep(1.0)  # the list is looked at once more meanwhile, and says nothing


async def a_freeze_is_made_between_decision_and_hand_over(scene: Scene) -> None:
    """Every worker is busy until then (`BUSY`)."""
    await scene.deploy()
    await scene.becomes(handover="waiting", status="pending")
    await scene.freeze()
    await scene.becomes(status="skipped")
    assert not scene.outside.runs()
    await scene.thaw()
    await scene.becomes(status="pending")
    await scene.ends()


async def a_freeze_is_made_while_it_is_uncertain_whether_it_runs(scene: Scene) -> None:
    scene.outside.server.lag_s = 3600.0
    scene.start_meets(cut_after=True)
    await scene.deploy()
    await scene.becomes(handover="uncertain")
    await scene.freeze()
    scene.outside.server.lag_s = 0.0
    await scene.ends()


async def a_freeze_is_made_between_two_attempts(scene: Scene) -> None:
    scene.start_meets(cut=True)
    await scene.deploy()
    await scene.becomes(handover="uncertain")
    await scene.freeze()
    await scene.becomes(status="skipped")


async def a_freeze_is_made_while_the_start_is_sent_again(scene: Scene) -> None:
    for _ in range(2):
        scene.start_meets(status=503)
    await scene.deploy()
    await scene.becomes(handover="starting")
    await scene.freeze()
    await scene.ends()


async def a_cancel_is_asked_for_while_it_is_uncertain(scene: Scene) -> None:
    scene.outside.server.lag_s = 3600.0
    scene.start_meets(cut_after=True)
    await scene.deploy()
    await scene.becomes(handover="uncertain")
    await scene.stage.ask_cancel(scene.row)
    scene.outside.server.lag_s = 0.0
    await scene.becomes(status="cancelled")


NOTHING_DONE = (
    the_call_times_out_and_nothing_was_done,
    the_connection_is_cut_before_anything_is_done,
)
"""For who waits for an answer, these are all one: it may run, or not."""

SETTLED = ("settleSeconds", 12)
"""Long enough for whatever the play does meanwhile, on a slow machine too."""

HASTY = ("startTimeoutSeconds", 0.4)
WEBHOOK_SECRET = "what the two of us know"


def misbehaviours() -> list[tuple[Row, Callable[[Scene], Awaitable[None]]]]:
    """Each row with its play."""
    plays: list[tuple[str, Callable[[Scene], Awaitable[None]], str, int, tuple[tuple[str, Any], ...]]] = []
    late = (the_call_times_out_though_it_was_done, the_call_is_taken_long_after_it_timed_out)
    for agent in CALLED:
        keyed, repeat = agent in KEYED, (*REPEAT, HASTY)
        found = ("successful", 1) if keyed else ("externalRunNotFound", 0)
        if agent != "tfe":  # its start is many calls: the time-out would hit any of them
            plays += [(agent, play, "successful", 1, (HASTY, SETTLED)) for play in late]
        plays += [(agent, play, *found, (HASTY,)) for play in NOTHING_DONE]
        plays += [
            (agent, the_run_is_not_to_be_seen_for_a_while, "successful", 1, (("settleSeconds", 60),)),
            (agent, the_credentials_end_while_it_runs, "successful", 1, ()),
            (agent, the_start_is_refused, "failure", 0, ()),
            (agent, the_answer_is_lost, "successful", 1, (SETTLED,)),
        ]
        if keyed:
            plays.append((agent, the_start_is_asked_to_wait, "successful", 1, ()))
            plays.append((agent, a_freeze_is_made_while_the_start_is_sent_again, "successful", 1, ()))
            continue
        plays += [(agent, play, "successful", 1, repeat) for play in NOTHING_DONE]
        if agent not in LAGGING:
            continue
        plays += [
            (agent, the_start_is_asked_to_wait, "successful", 1, ()),
            (agent, the_answer_is_lost_and_the_list_lags, "successful", 1, (SETTLED,)),
            (agent, the_answer_is_lost_and_the_list_lags, "successful", 1, (SETTLED, *REPEAT)),
            (agent, the_answer_is_lost_and_the_list_lags_too_long, "externalRunNotFound", 1, ()),
            (agent, the_answer_is_lost_and_the_list_lags_too_long, "successful", 2, REPEAT),
            (agent, a_freeze_is_made_while_it_is_uncertain_whether_it_runs, "successful", 1, (SETTLED, *REPEAT)),
            (agent, a_freeze_is_made_between_two_attempts, "skipped", 0, REPEAT),
            (agent, a_cancel_is_asked_for_while_it_is_uncertain, "cancelled", 1, (SETTLED,)),
        ]
    plays.append(("argo-cd", the_answer_is_lost_and_the_next_start_is_refused, "successful", 1, ()))
    for play in (a_webhook_comes_twice, a_webhook_comes_late, a_webhook_comes_before_the_answer):
        plays.append(("github-app", play, "successful", 1, ()))
    plays.append(("github-app", a_webhook_comes_instead_of_the_answer, "successful", 1, ()))
    for agent in (*KEYED, *FINDABLE):
        plays.append((agent, a_freeze_is_made_between_decision_and_hand_over, "successful", 1, ()))
    rows = {}
    for agent, play, status, runs, config in plays:
        rows[Row(agent, play.__name__.replace("_", "-"), status, runs, config)] = play
    return list(rows.items())


MISBEHAVIOURS = misbehaviours()

BUSY = """
CREATE FUNCTION busy() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM job j JOIN deployment d ON d.id = j.deployment_id
               WHERE j.id::text = NEW.key AND d.name LIKE 'a-freeze-is-made-between-decision-%'
                 AND NOT EXISTS (SELECT FROM "freeze" f WHERE f.scope_id = d.id)) THEN
        NEW.ready_at := now() + interval '1 hour';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER busy BEFORE INSERT OR UPDATE ON work FOR EACH ROW WHEN (NEW.kind = 'dispatch') EXECUTE FUNCTION busy();
"""
"""No worker takes a job of that play before its freeze is there."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def after_misbehaviour(database: Any, folder_for_all: Any) -> dict[Row, Played | BaseException]:
    """Every row of MISBEHAVIOURS, played."""
    url, folder = await database(), folder_for_all()
    async with a_stage(url, folder, [row for row, _ in MISBEHAVIOURS]) as stage:
        store = stage.fleet.store
        app = build_api(store, Settings(data=folder, github_webhook_secret=WEBHOOK_SECRET, stranger_rate_per_s=0))
        transport = httpx.ASGITransport(app=app)
        async with store.read() as conn:
            await conn.execute(BUSY)
        async with (
            httpx.AsyncClient(transport=transport, base_url="http://interlock.test") as api,
            a_worker(store, folder),
        ):
            plays = [play(Scene(stage, row, api)) for row, play in MISBEHAVIOURS]
            ended = await asyncio.gather(*plays, return_exceptions=True)
        found: dict[Row, Any] = dict(await stage.played())
        for (row, _), error in zip(MISBEHAVIOURS, ended, strict=True):
            if error is not None:
                error.add_note(str(found[row]))
                found[row] = error
        return found


@pytest.mark.parametrize("row", [row for row, _ in MISBEHAVIOURS], ids=lambda row: row.name)
async def test_whatever_the_outside_does_the_job_ends_right_and_runs_as_often_as_promised(after_misbehaviour, row):
    played = after_misbehaviour[row]
    if isinstance(played, BaseException):
        raise played
    assert (played.status, played.runs) == (row.status, row.runs if played.runs is not None else None), played
