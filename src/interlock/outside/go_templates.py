"""How does a job's context fill a manifest? As a Go template with Sprig's functions, in a process that can be killed.

Manifests of Argo CD, Argo Workflows, Kubernetes and Terraform workspaces are written as Go templates, so these are read
as Go reads them: a missing key gives `<no value>`, `toYaml | nindent` and the rest of Sprig and Helm are there. What a
manifest may not have is the machine it is rendered on: functions that read the environment, resolve names or ask a
cluster are refused, as `{{ lookup … }}` of nothing would be half a manifest.

A template may loop for ever or grow without end, and Python cannot stop it. So it is rendered in a child with nothing
in its environment, a limit of memory, and a time after which it is killed; the next template gets a new child. One
child renders one template after the other, because starting it costs a hundred times what a rendering does.

`outside/templates.py` fills argv and URLs with dotted paths, where a template language would be a risk without a use.

Source: libraries.md section 3 (gotpl: byte-identical with Go on 30 constructs, and what it leaves open); text/template.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Mapping
from typing import Any

import orjson

from interlock.model.errors import Invalid, Rejected, Unavailable

TIMEOUT_S = 5.0
START_S = 15.0
SOURCE_CHARS_MAX = 256 * 1024
RENDERED_CHARS_MAX = 1024 * 1024

REFUSED_FUNCTIONS = frozenset({"env", "expandenv", "getHostByName", "lookup"})
"""They would tell of the machine that renders, or of nothing."""


def check_template(source: object, *, field: str) -> None:
    """Refuse a template that cannot be read, when it is written.

    Why:   here and not in the child, because reading is bounded by the text's length; nothing is rendered.
    Fails: `Invalid` with the field, the line and the column.
    """
    import gotpl  # noqa: PLC0415 - 100 ms, and most processes never ask
    from gotpl.exts.helm import HelmExtension  # noqa: PLC0415

    if not isinstance(source, str) or not source.strip():
        raise Invalid(f"{field} must be a text, a Go template.", field=field)
    try:
        gotpl.Environment(extensions=[HelmExtension()]).from_string(_bounded(source, field=field))
    except gotpl.TemplateError as error:
        raise Invalid(f"{field}: {_said(error_json(error))}", field=field) from error
    except RecursionError as deep:
        raise Invalid(f"{field}: it is nested too deeply.", field=field) from deep


def error_json(error: Exception) -> dict[str, object]:
    """What a template's error says, and where."""
    said = getattr(error, "message", None) or str(error).partition(": ")[2] or str(error)
    return {"error": said, "line": getattr(error, "line", None), "column": getattr(error, "column", None)}


class GoTemplates:
    """Renders templates, one at a time.

    Takes: `timeout_s` bounds one rendering; `start_s` the start of the child beside it.
    """

    def __init__(self, *, timeout_s: float = TIMEOUT_S, start_s: float = START_S) -> None:
        self._timeout_s, self._start_s = timeout_s, start_s
        self._one = asyncio.Lock()
        self._child: asyncio.subprocess.Process | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._asked = 0
        """How many questions this child has got."""

    async def render(self, source: str, context: Mapping[str, object], *, field: str) -> str:
        """The template filled with a context.

        Fails: `Rejected` with field, line and reason when it cannot be read or filled, takes too long or grows too
               large; `Unavailable` where no child can be started.
        """
        try:
            answer = await self._ask({"source": _bounded(source, field=field), "context": context}, field=field)
        except Invalid as refused:
            raise Rejected(refused.message) from refused
        if "error" in answer:
            raise Rejected(f"{field}: {_said(answer)}")
        return str(answer["text"])

    async def close(self) -> None:
        """End the child."""
        async with self._one:
            await self._end()

    async def _ask(self, question: Mapping[str, object], *, field: str) -> dict[str, Any]:
        body = orjson.dumps(question, option=orjson.OPT_NON_STR_KEYS)
        if self._child is None:  # it comes up whoever gives up meanwhile, or nobody hasty would ever be served
            starting = asyncio.ensure_future(self._start_child())
            starting.add_done_callback(lambda done: done.cancelled() or done.exception())
            await asyncio.shield(starting)
        async with self._one:
            child = await self._ready()
            try:
                async with asyncio.timeout(self._timeout_s):
                    return await self._exchange(child, body)
            except TimeoutError:
                await self._end()
                return {"error": f"it took longer than {self._timeout_s:g} s to render, and was ended"}
            except (asyncio.IncompleteReadError, ConnectionError):
                await self._end()
                return {"error": "it grew too large to render"}
            except BaseException:
                await self._end()  # a half-read answer would be the next template's
                raise

    async def _start_child(self) -> None:
        async with self._one:
            await self._ready()

    async def _ready(self) -> asyncio.subprocess.Process:
        loop = asyncio.get_running_loop()
        if self._child is not None and (self._child.returncode is not None or self._loop is not loop):
            await self._end()
        if self._child is None:
            self._child, self._loop = await _start(), loop
            self._asked = 0
            try:
                async with asyncio.timeout(self._start_s):
                    await self._exchange(self._child, orjson.dumps({"source": ""}))
            except (TimeoutError, asyncio.IncompleteReadError, ConnectionError) as silent:
                await self._end()
                raise Unavailable("The process that renders templates does not start.") from silent
            except BaseException:
                await self._end()  # its first answer would be the next template's
                raise
        return self._child

    async def _exchange(self, child: asyncio.subprocess.Process, body: bytes) -> dict[str, Any]:
        """One question, one answer, which is to this question.

        Why:   what one job's template renders to must never be applied for another: the child counts its answers.
        """
        self._asked += 1
        answer = await _exchange(child, body)
        if answer.pop("number", None) != self._asked:
            raise Unavailable("The process that renders templates lost count, and was ended.")
        return answer

    async def _end(self) -> None:
        child, self._child = self._child, None
        if child is None or child.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            child.kill()
        await child.wait()


async def _start() -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-I",
        "-c",
        CHILD,
        str(RENDERED_CHARS_MAX),
        ",".join(sorted(REFUSED_FUNCTIONS)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env={"LANG": "C.UTF-8", "TZ": "UTC"},
    )


async def _exchange(child: asyncio.subprocess.Process, body: bytes) -> dict[str, Any]:
    """One question, one answer, each after its length in four bytes."""
    assert child.stdin is not None
    assert child.stdout is not None
    child.stdin.write(len(body).to_bytes(4, "big") + body)
    await child.stdin.drain()
    size = int.from_bytes(await child.stdout.readexactly(4), "big")
    answer: dict[str, Any] = orjson.loads(await child.stdout.readexactly(size))
    return answer


def _bounded(source: str, *, field: str) -> str:
    if len(source) > SOURCE_CHARS_MAX:
        raise Invalid(f"{field}: a template may have {SOURCE_CHARS_MAX} characters at most.", field=field)
    return source


def _said(answer: Mapping[str, Any]) -> str:
    where = f"line {answer['line']}, column {answer['column']}: " if answer.get("line") else ""
    return f"{where}{answer['error']}."


CHILD = """
import json, sys
try:
    import resource
    resource.setrlimit(resource.RLIMIT_AS, (1 << 29, 1 << 29))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
except ImportError:
    pass  # Windows has no such limits; the time limit stands
from gotpl import Environment, ExecutionBudget, TemplateError
from gotpl.exts.helm import HelmExtension

chars_max, steps_max = int(sys.argv[1]), 100_000

def refuse(name):
    def no(*_):
        raise ValueError(f"{name} is not available here")
    return no

def bounded(name, function, size_of, most):
    def call(*given):
        if size_of(*given) > most:
            raise ValueError(f"{name} would make more than {most}")
        return function(*given)
    return call

def steps(start, stop, step):
    return abs(stop - start) // max(abs(step), 1)

sprig = HelmExtension().functions
own = {name: refuse(name) for name in sys.argv[2].split(",") if name in sprig}
own["repeat"] = bounded("repeat", sprig["repeat"], lambda count, text: int(count) * len(str(text)), chars_max)
own["until"] = bounded("until", sprig["until"], lambda stop: abs(int(stop)), steps_max)
own["untilStep"] = bounded("untilStep", sprig["untilStep"], lambda *given: steps(*map(int, given)), steps_max)
budget = ExecutionBudget(chars_max, 1_000_000, 100, 1_000_000)
environment = Environment(extensions=[HelmExtension(custom_functions=own)], budget=budget)

def answer(asked):
    try:
        template = environment.from_string(asked["source"])
        return {"text": template.render(asked["context"]) if "context" in asked else ""}
    except TemplateError as error:
        said = getattr(error, "message", None) or str(error).partition(": ")[2] or str(error)
        return {"error": said, "line": getattr(error, "line", None), "column": getattr(error, "column", None)}
    except (RecursionError, MemoryError) as error:
        return {"error": "it is nested too deeply" if isinstance(error, RecursionError) else "it grew too large"}
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"}

into, out, number = sys.stdin.buffer, sys.stdout.buffer, 0
while head := into.read(4):
    number += 1
    said = json.dumps({**answer(json.loads(into.read(int.from_bytes(head, "big")))), "number": number}).encode()
    out.write(len(said).to_bytes(4, "big") + said)
    out.flush()
"""
"""What the child runs until its input ends. It knows nothing of Interlock, and nothing of the machine."""
