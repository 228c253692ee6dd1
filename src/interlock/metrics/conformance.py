"""What must be true of every metric provider, whatever it asks? A suite for pytest; each provider brings a `Rehearsal`.

It runs against every provider that comes with Interlock, and against yours. Nothing of the running product loads it.

    from interlock.metrics.conformance import ProviderConformance, Rehearsal

    class TestMyProvider(ProviderConformance):
        @pytest.fixture
        def rehearsal(self) -> Rehearsal: ...    # your provider, an answer that is good, configs that are wrong

One section is one class; one that has nothing to ask of a provider is skipped:

    Written     what is refused when a policy is written, by field; templates that cannot be read
    Asked       a good answer is judged good; what it answers is what it declares, and can be kept
    Faults      401, 403, 404, 429, 500, redirects, no JSON, huge, slow, cut, refused: each is an error of the
                measurement with its reason, never a failure and never a crash
    Numbers     NaN, infinities, nulls, nothing: no number is an error too
    Quiet       none of its secrets is said: not in an error, not in a sample, not when the tool repeats it

A provider whose tool *is* what is measured (`http`) says which statuses are answers (`answers`): the conditions judge
those, and a good condition is not true of them.

Source: issue "Verification that acts", bad input; `agents/conformance.py` is the same for job agents.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from interlock.metrics import Metric, Provider, Reading, check_metric, take_measurement
from interlock.metrics.filling import texts_in
from interlock.model.errors import Invalid
from interlock.model.secret import Where, is_secret
from interlock.model.verification import Measurement, MeasurementStatus, MetricSpec
from interlock.outside.go_templates import GoTemplates
from interlock.outside.http import ANSWER_BYTES_MAX
from interlock.outside.loopback import LoopbackServer, serving

NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
PATH = "rules[0].verification.metrics[0]"
HERE = "http://127.0.0.1:0"
"""Stands in a rehearsal's config for where its server is."""

TIMEOUT_S = 20.0
PATIENCE_S = 0.05
"""How long a slow tool is waited for; the product waits longer, and then does the same."""

CONTEXT: Mapping[str, Any] = {
    "deployment": {"name": "shop"},
    "resource": {"name": "prod-eu-1", "config": {"port": 8080}},
    "version": {"tag": "1.0.0"},
    "variables": {"limit": 3},
    "job": {"id": "4d1c3a52-8f0e-4d58-9a6b-7c1d2e3f4a5b", "externalId": "run-1"},
}
"""The context that every metric of the suite is measured in."""


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """One provider, ready for the suite.

    Takes: `provider` calls loopback. `good` is a provider's object without `type`, in which `HERE` is where `server`
           answers; `condition` is true of what the server answers to it. `wrong` maps changes of `good` to the field
           that the refusal must name. `answers` are the statuses that are an answer. `bodies` maps a name to a body of
           the tool's form that holds no number, or nothing. `secrets` are texts of `good` that nobody may read.

    """

    provider: Provider
    good: Mapping[str, object]
    condition: str
    wrong: tuple[tuple[Mapping[str, object], str], ...]
    server: LoopbackServer | None = None
    answers: Collection[int] = ()
    bodies: Mapping[str, bytes] = field(default_factory=dict)
    secrets: tuple[str, ...] = ()
    context: Mapping[str, Any] = field(default_factory=lambda: CONTEXT)


@dataclass(frozen=True, slots=True)
class Fault:
    """One way in which a tool misbehaves, and what people read of it. `status` is what it answers, if it does."""

    name: str
    how: Mapping[str, Any]
    said: str

    @property
    def status(self) -> int:
        """The status of its answer; 200 where it is not about that."""
        return int(self.how.get("status", 200))


FAULTS: tuple[Fault, ...] = (
    Fault("400", {"status": 400, "body": b'{"message": "no such function", "error": "no such function"}'}, "400"),
    Fault("401", {"status": 401, "body": b'{"message": "bad token"}'}, "401"),
    Fault("403", {"status": 403, "body": b'{"errors": ["may not"]}'}, "may not"),
    Fault("404", {"status": 404, "body": b"not here"}, "not here"),
    Fault("429", {"status": 429, "headers": {"Retry-After": "7"}}, "429"),
    Fault("500", {"status": 500, "body": b"<html>oh</html>"}, "500"),
    Fault("503", {"status": 503}, "503"),
    Fault("redirect", {"status": 302, "headers": {"Location": "http://169.254.169.254/latest"}}, "redirects"),
    Fault("no-json", {"status": 200, "body": b"<html>hello"}, ""),
    Fault("half-json", {"status": 200, "body": b'{"status": "success", "data"'}, ""),
    Fault("other-json", {"status": 200, "body": b'["a", 5]'}, ""),
    Fault("deep-json", {"status": 200, "body": b"[" * 50_000}, ""),
    Fault("odd-texts", {"status": 200, "body": rb'{"status": "\ud800", "\u0000": "\u0000", "message": "\u0000"}'}, ""),
    Fault("odd-no", {"status": 500, "body": rb'{"message": "\u0000 no", "error": "\u0000 no"}'}, "500"),
    Fault("odd-numbers", {"status": 200, "body": b'{"a": 1e999, "b": 123456789012345678901234567890, "c": -0.0}'}, ""),
    Fault("nothing", {"status": 200, "body": b""}, ""),
    Fault("huge", {"status": 200, "body": b'"' + b"x" * (ANSWER_BYTES_MAX + 1)}, "longer than"),
    Fault("cut", {"cut": True}, "could not be reached"),
    Fault("cut-after", {"cut_after": True}, "could not be reached"),
    Fault("slow", {"wait_s": 30.0}, "did not answer within"),
    Fault("slow-answer", {"late_s": 30.0}, "did not answer within"),
)


@asynccontextmanager
async def ready(rehearsal: Rehearsal) -> AsyncIterator[tuple[Metric, dict[str, object]]]:
    """The provider as it is measured with, and its good object, its server answering."""
    templates = GoTemplates()
    metric = Metric(rehearsal.provider, templates)
    try:
        if rehearsal.server is None:
            yield metric, {"type": metric.kind, **rehearsal.good}
            return
        async with serving(rehearsal.server):
            yield metric, {"type": metric.kind, **placed(rehearsal.good, rehearsal.server.url)}
    finally:
        await templates.close()


def placed(value: Any, url: str) -> Any:
    """A config with an address where it says `HERE`."""
    match value:
        case str():
            return value.replace(HERE, url)
        case Mapping():
            return {key: placed(each, url) for key, each in value.items()}
        case list() | tuple():
            return [placed(each, url) for each in value]
        case _:
            return value


async def measured(
    metric: Metric, config: Mapping[str, object], rehearsal: Rehearsal, *, timeout_s: float = TIMEOUT_S
) -> Measurement:
    """One measurement, as a worker takes it."""
    taken = await take_measurement(
        spec_of(config, rehearsal.condition),
        rehearsal.context,
        metrics={metric.kind: metric},
        due_at=NOW,
        now=NOW,
        timeout_s=timeout_s,
    )
    assert isinstance(taken, Measurement), "it says nothing yet, although its rehearsal has an answer"
    return taken


def spec_of(config: Mapping[str, object], condition: str) -> MetricSpec:
    """A metric with this provider's object."""
    return MetricSpec("rehearsed", config, 10.0, 3, condition)


def is_an_error(taken: Measurement, said: str = "") -> None:
    """Errored, with a reason that a person can read."""
    assert taken.status is MeasurementStatus.ERRORED, f"{taken.status}: {taken.message}"
    assert taken.message
    assert said in taken.message, taken.message
    assert "Traceback" not in taken.message
    assert "cannot read that answer" not in taken.message, "the provider broke"


def can_be_kept(taken: Measurement) -> None:
    """JSON that a database takes."""
    assert orjson.loads(orjson.dumps([taken.message, taken.result])) == [taken.message, taken.result]
    said = [part for path, text in texts_in([taken.message, taken.result], "") for part in (path, text)]
    assert not [text for text in said if "\0" in text]


class Written:
    """What is checked when a policy is written."""

    async def test_declares_itself(self, rehearsal: Rehearsal) -> None:
        async with ready(rehearsal) as (metric, _):
            assert metric.kind
            assert metric.result_fields

    async def test_accepts_its_own_good_config(self, rehearsal: Rehearsal) -> None:
        async with ready(rehearsal) as (metric, good):
            check_metric(spec_of(good, rehearsal.condition), {metric.kind: metric}, path=PATH)

    async def test_refuses_a_bad_config_naming_the_field(self, rehearsal: Rehearsal) -> None:
        assert rehearsal.wrong, "there is no config that is wrong"
        async with ready(rehearsal) as (metric, good):
            for change, named in (*rehearsal.wrong, ({"unheardOf": 1}, "unheardOf")):
                with pytest.raises(Invalid) as refused:
                    metric.check_config({**good, **change}, "provider")
                assert f"provider.{named}" in [error.path for error in refused.value.fields], change

    async def test_refuses_a_template_that_cannot_be_read(self, rehearsal: Rehearsal) -> None:
        async with ready(rehearsal) as (metric, good):
            for key, value in good.items():
                if isinstance(value, str) and key != "type":
                    with pytest.raises(Invalid) as refused:
                        metric.check_config({**good, key: value + "\n{{ if }}"}, "provider")
                    wrong = [error.message for error in refused.value.fields if error.path == f"provider.{key}"]
                    assert any("line" in one for one in wrong), wrong

    async def test_a_field_that_it_does_not_answer_with_is_refused(self, rehearsal: Rehearsal) -> None:
        async with ready(rehearsal) as (metric, good):
            with pytest.raises(Invalid) as refused:
                check_metric(spec_of(good, "result.unheardOf == 1"), {metric.kind: metric}, path=PATH)
            assert f"{PATH}.successCondition" in [error.path for error in refused.value.fields]


class Asked:
    """A tool that works."""

    async def test_a_good_answer_passes(self, rehearsal: Rehearsal) -> None:
        async with ready(rehearsal) as (metric, good):
            taken = await measured(metric, good, rehearsal)
        assert (taken.status, taken.message) == (MeasurementStatus.PASSED, None)
        can_be_kept(taken)

    async def test_it_answers_with_what_it_declares(self, rehearsal: Rehearsal) -> None:
        async with ready(rehearsal) as (metric, good):
            reading = await metric.measure(good, rehearsal.context, due_at=NOW, now=NOW, timeout_s=TIMEOUT_S)
        assert isinstance(reading, Reading)
        assert set(reading.result) == set(metric.result_fields)
        for name, kind in metric.result_fields.items():
            assert _fits(reading.result[name], kind), f"{name} is no {kind}: {reading.result[name]!r}"

    async def test_a_text_that_cannot_be_filled_is_an_error_and_asks_nobody(self, rehearsal: Rehearsal) -> None:
        async with ready(rehearsal) as (metric, good):
            for key, value in good.items():
                if isinstance(value, str) and key != "type":
                    taken = await measured(metric, {**good, key: "{{ resource.nope }}"}, rehearsal)
                    is_an_error(taken, f"provider.{key}")
                    assert "resource.nope" in str(taken.message)
            assert rehearsal.server is None or not rehearsal.server.calls


class Faults:
    """A tool that does not."""

    @pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
    async def test_a_fault_is_an_error_with_its_reason(self, rehearsal: Rehearsal, fault: Fault) -> None:
        server = _server(rehearsal)
        async with ready(rehearsal) as (metric, good):
            server.next_is(**fault.how)
            slow = "wait_s" in fault.how or "late_s" in fault.how
            taken = await measured(metric, good, rehearsal, timeout_s=PATIENCE_S if slow else TIMEOUT_S)
            server.let_go.set()
        if fault.status in rehearsal.answers and not fault.said.startswith(("longer", "did", "could")):
            assert taken.status is not MeasurementStatus.PASSED
            assert taken.message
        else:
            is_an_error(taken, fault.said)
        for secret in rehearsal.secrets:
            assert secret not in repr(taken)
        can_be_kept(taken)

    async def test_nobody_at_home_is_an_error(self, rehearsal: Rehearsal) -> None:
        _server(rehearsal)
        async with ready(rehearsal) as (metric, good):
            pass
        is_an_error(await measured(metric, good, rehearsal), "could not be reached")

    async def test_a_redirect_leads_nowhere(self, rehearsal: Rehearsal) -> None:
        server, elsewhere = _server(rehearsal), LoopbackServer()
        async with ready(rehearsal) as (metric, good), serving(elsewhere):
            for status in (301, 302, 303, 307, 308):
                server.next_is(status=status, headers={"Location": elsewhere.url})
                taken = await measured(metric, good, rehearsal)
                assert taken.status is not MeasurementStatus.PASSED
        assert not elsewhere.calls

    async def test_a_tool_that_hangs_holds_up_no_other(self, rehearsal: Rehearsal) -> None:
        server = _server(rehearsal)
        async with ready(rehearsal) as (metric, good):
            server.next_is(wait_s=60.0)
            hanging = asyncio.create_task(measured(metric, good, rehearsal))
            while server.coming:  # noqa: ASYNC110 - what is waited for is a list's end
                await asyncio.sleep(0.002)
            assert (await measured(metric, good, rehearsal)).status is MeasurementStatus.PASSED
            assert not hanging.done()
            server.let_go.set()
            assert (await hanging).status is MeasurementStatus.PASSED


class Numbers:
    """Answers of the tool's form without a number in them."""

    async def test_no_number_is_an_error_with_its_reason(self, rehearsal: Rehearsal) -> None:
        if not rehearsal.bodies:
            pytest.skip("It answers no numbers.")
        async with ready(rehearsal) as (metric, good):
            for name, body in rehearsal.bodies.items():
                _server(rehearsal).next_is(status=200, body=body)
                taken = await measured(metric, good, rehearsal)
                assert taken.status is MeasurementStatus.ERRORED, f"{name}: {taken}"
                can_be_kept(taken)
                is_an_error(taken)


class Quiet:
    """Secrets."""

    async def test_its_secrets_are_sealed(self, rehearsal: Rehearsal) -> None:
        async with ready(rehearsal) as (metric, good):
            for secret in rehearsal.secrets:
                found = [path for path, text in texts_in(good, "provider") if secret in text]
                assert found, f"{secret} is not in its config"
                for path in found:
                    steps = tuple(step for step in path.replace("[", ".[").split(".") if not step.startswith("["))
                    assert is_secret(Where.RULES, steps), f"{path} would not be sealed"
            assert not [secret for secret in rehearsal.secrets if secret in repr(spec_of(good, "true"))]
            assert metric.kind

    async def test_what_a_tool_repeats_of_a_filled_secret_is_not_kept(self, rehearsal: Rehearsal) -> None:
        if not rehearsal.secrets:
            pytest.skip("It has no secrets.")
        server, told = _server(rehearsal), "s3cr3t-of-a-variable"
        context = {**rehearsal.context, "variables": {"told": told}}
        async with ready(rehearsal) as (metric, good):
            config = good
            for secret in rehearsal.secrets:
                config = _put(config, secret, "{{ .variables.told }}")
            for status in (200, 401, 500):
                body = orjson.dumps({"message": f"{told} is no token", "status": "success", told: [told]})
                server.next_is(status=status, body=body)
                taken = await measured(metric, config, replace(rehearsal, context=context))
                assert taken.status is not MeasurementStatus.PASSED
                assert told not in repr(taken), taken


class ProviderConformance(Written, Asked, Faults, Numbers, Quiet):
    """The whole suite."""


def _server(rehearsal: Rehearsal) -> LoopbackServer:
    if rehearsal.server is None:
        pytest.skip("It calls nobody.")
    return rehearsal.server


def _put(value: Any, secret: str, text: str) -> Any:
    match value:
        case str():
            return value.replace(secret, text)
        case Mapping():
            return {key: _put(each, secret, text) for key, each in value.items()}
        case list() | tuple():
            return [_put(each, secret, text) for each in value]
        case _:
            return value


def _fits(value: object, kind: str) -> bool:
    """Whether a value is of a CEL type, as far as a provider declares one."""
    outer = kind.partition("(")[0]
    match outer:
        case "dyn":
            return True
        case "bool":
            return isinstance(value, bool)
        case "int":
            return isinstance(value, int) and not isinstance(value, bool)
        case "double":
            return isinstance(value, float)
        case "string":
            return isinstance(value, str)
        case "list":
            return isinstance(value, list)
        case "map":
            return isinstance(value, Mapping) and all(isinstance(key, str) for key in value)
        case _:
            return False
