"""What does a policy in Rego say of an input? Asked in a process of its own that can be killed.

Rego is an optional extra (`interlock[rego]`). Its engine holds Python's lock while it evaluates and knows no time
limit, so a policy that somebody wrote runs in a child with a time limit, a limit of memory and nothing in its
environment. What would make the same question answer differently tomorrow (time, randomness, the network, the
process) is refused, so that an answer can be checked again.

    passed       `deny` holds nothing
    failed       `deny` holds violations
    errored      it does not compile, defines no `deny`, took too long, or asks for what is refused
    unsupported  the extra is not installed

Source: libraries.md section 3 (measured: 0.14 ms an evaluation, no time limit of its own); definitions.md E10.
"""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec

import orjson

TIMEOUT_S = 5.0
ANSWER_BYTES_MAX = 1024 * 1024
MESSAGE_MAX = 2_000
VIOLATIONS_MAX = 100
AT_ONCE_MAX = 2

_LIVE = re.compile(
    r"\b(http\.send|time\.now_ns|rand\.intn|uuid\.rfc4122|opa\.runtime|net\.lookup_ip_addr|io\.jwt\.decode_verify)\b"
)
_COMMENT_OR_TEXT = re.compile(r"#[^\n]*|\"(?:\\.|[^\"\\\n])*\"|`[^`]*`")


@dataclass(frozen=True, slots=True)
class Opinion:
    """What a policy says. `violations` are texts, or objects as the policy made them."""

    status: str
    violations: tuple[object, ...] = ()
    message: str = ""

    @property
    def passed(self) -> bool:
        """Whether nothing is denied."""
        return self.status == "passed"


def has_rego() -> bool:
    """Whether the extra is installed."""
    return find_spec("regorus") is not None


class Rego:
    """Asks policies, a few at a time."""

    def __init__(self, *, timeout_s: float = TIMEOUT_S) -> None:
        self._timeout_s = timeout_s
        self._places = asyncio.Semaphore(AT_ONCE_MAX)

    async def ask(self, policies: Sequence[str], asked: Mapping[str, object]) -> list[Opinion]:
        """What each policy says of one input, in order; one that errs or hangs does not touch the others."""
        if not has_rego():
            return [Opinion("unsupported", message="No Rego is installed (interlock[rego]).") for _ in policies]
        return [await self._ask(policy, asked) for policy in policies]

    async def _ask(self, policy: str, asked: Mapping[str, object]) -> Opinion:
        live = _LIVE.search(_COMMENT_OR_TEXT.sub(" ", policy))
        if live is not None:
            return Opinion("errored", message=f"{live.group(1)} is refused: it would answer differently next time.")
        async with self._places:
            return await self._in_a_child(orjson.dumps({"rego": policy, "input": asked}))

    async def _in_a_child(self, question: bytes) -> Opinion:
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            "-I",
            "-c",
            CHILD,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={"LANG": "C.UTF-8"},
        )
        try:
            async with asyncio.timeout(self._timeout_s):
                answer, told = await child.communicate(question)
        except TimeoutError:
            return Opinion("errored", message=f"It took longer than {self._timeout_s:g} s and was ended.")
        finally:
            if child.returncode is None:
                child.kill()
                await child.wait()
        if child.returncode != 0 or len(answer) > ANSWER_BYTES_MAX:
            said = told.decode(errors="replace").strip().splitlines()[-1:] or [f"exit {child.returncode}"]
            return Opinion("errored", message=f"The evaluation ended badly: {said[0]}"[:MESSAGE_MAX])
        return _opinion(orjson.loads(answer))


def _opinion(answer: Mapping[str, object]) -> Opinion:
    if "error" in answer:
        text = str(answer["error"]).partition("Stack backtrace")[0].strip()
        return Opinion("errored", message=text[:MESSAGE_MAX])
    denied = answer.get("deny")
    if denied is None:
        return Opinion("errored", message="The package defines no `deny`.")
    if not isinstance(denied, list):
        return Opinion("errored", message="`deny` must be a set or a list.")
    if not denied:
        return Opinion("passed")
    more = f"{len(denied) - VIOLATIONS_MAX} more are not shown." if len(denied) > VIOLATIONS_MAX else ""
    return Opinion("failed", tuple(denied[:VIOLATIONS_MAX]), more)


CHILD = """
import json, sys
try:
    import resource
    resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
except ImportError:
    pass  # Windows has no such limits; the time limit stands
import regorus
asked = json.load(sys.stdin)
answer = {}
try:
    engine = regorus.Engine()
    engine.add_policy("policy.rego", asked["rego"])
    engine.set_input_json(json.dumps(asked["input"]))
    (package,) = engine.get_packages()
    found = engine.eval_query_as_json(package + ".deny")
    results = json.loads(found).get("result") or []
    answer["deny"] = results[0]["expressions"][0].get("value") if results else None
except Exception as error:
    answer = {"error": str(error)}
json.dump(answer, sys.stdout)
"""
"""What the child runs. It knows nothing of Interlock, so that it starts in 30 ms and can do nothing else."""
