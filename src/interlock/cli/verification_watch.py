"""`interlock verification watch`: what is being measured, and does it pass? A line for each metric, until it is over.

    interlock verification watch 4c1f                                       one, by its id or the beginning of it
    interlock verification watch --job 8f14…                                the newest of this job
    interlock verification watch --target shop-api/production/edge-1        the newest of this target
    interlock verification watch --target … --timeout 30m || exit 1         in CI: waits, and fails with it

In a terminal each metric is drawn in place: its last numbers as a small line, how many measurements said what, the last
value, and when the next is due. Into a pipe goes one line for each change, and `-o json` gives one object for each. A
job or a target that has no verification yet is waited for. It goes on across broken connections.

Exit codes: 0 it passed; 1 it failed; 6 nothing could tell, and no more is measured by itself: a person accepts, fails
or repeats it; 5 the time is over.

Source: issue "Verification that acts", section "Console and CLI".
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import click

from interlock.cli.columns import cells_wide, terminal_width
from interlock.cli.connection import connected
from interlock.cli.exit_codes import DONE, FAILED, LATE, UNCLEAR
from interlock.cli.places import parse_duration
from interlock.cli.tables import as_yaml, output_option
from interlock.client import Client, Seen
from interlock.model.errors import Conflict, NotFound, Unavailable
from interlock.model.ids import is_id
from interlock.model.verification import POSTED

LOOK_MIN_S, LOOK_MAX_S = 1.0, 15.0
"""How often it looks: about when the next measurement is due."""

SPARK_CELLS = 24
LEVELS, PLAIN_LEVELS = "▁▂▃▄▅▆▇█", "_.-~=+*#"
"""From the lowest number to the highest; a gap is blank, and `x` could not be measured."""

PLACE = ("deployment", "environment", "resource")
LOOKED_AT_MAX = 500
"""So many verifications of a deployment are looked through for a target's, the newest."""

CODES = {"passed": DONE, "failed": FAILED, "inconclusive": UNCLEAR}


@click.command()
@click.argument("verification_id", metavar="[ID]", required=False)
@click.option("--job", "job_id", metavar="ID", help="The newest of this job.")
@click.option("--target", metavar="DEPLOYMENT/ENVIRONMENT/RESOURCE", help="The newest of this target.")
@click.option("--timeout", "lasts", metavar="30m", help="Give up after so long, with exit code 5.  [default: never]")
@output_option
@click.pass_context
@connected
def watch(
    client: Client,
    ctx: click.Context,
    verification_id: str | None,
    *,
    job_id: str | None,
    target: str | None,
    lasts: str | None,
    output: str,
) -> None:
    r"""Follow a verification until it passes, fails, or nothing could tell.

    Exit code 0: it passed. 1: it failed. 6: nothing could tell, and only a person goes on. 5: the time is over.

    \b
    interlock verification watch 4c1f
    interlock verification watch --target shop-api/production/edge-1 --timeout 30m
    """
    if sum(each is not None for each in (verification_id, job_id, target)) != 1:
        raise click.UsageError("Say which: an ID, --job or --target.")
    until_s = time.monotonic() + parse_duration(lasts, option="--timeout").total_seconds() if lasts else None
    meant = partial(_meant, client, verification_id, job_id=job_id, target=target)
    code = follow(client, meant, Screen(output), until_s=until_s)
    ctx.exit(code)


def follow(
    client: Client,
    meant: Callable[[], str | None],
    screen: Screen,
    *,
    until_s: float | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> int:
    """Show it until it is over.

    Takes: `meant` gives its id once there is one; `until_s` is an instant of `time.monotonic`.
    Gives: the exit code.
    """
    found: str | None = None
    while True:
        next_s = LOOK_MIN_S
        try:
            found = found or meant()
            if found is None:
                screen.note_once("It has no verification yet. Waiting for one.")
            else:
                series = client.get_verification_series(found)
                screen.show(series)
                if (code := outcome(series)) is not None:
                    screen.end(series, code=code)
                    return code
                next_s = _wait_s(series)
        except Unavailable as error:
            screen.note_once(f"{error.message} Trying again.")
        left_s = None if until_s is None else until_s - time.monotonic()
        if left_s is not None and left_s <= 0:
            screen.give_up("It is not decided, and the time is over.", named=found)
            return LATE
        sleep(next_s if left_s is None else min(next_s, left_s))


def outcome(series: Seen) -> int | None:
    """The exit code once nothing more is measured by itself; None before."""
    if series["state"] == "running" or (series.get("held") and "againAt" in series):
        return None
    return CODES.get(series["state"], UNCLEAR)


@dataclass(frozen=True, slots=True)
class Shown:
    """One metric, as a line of the screen needs it. `values` are the last numbers, with None for a gap."""

    name: str
    state: str
    values: Sequence[float | None]
    statuses: Sequence[str]
    counts: str
    last: str
    next_at: str

    def says(self) -> str:
        """Everything but the drawing."""
        return ", ".join(each for each in (self.state, self.counts, self.last, self.next_at) if each)


def shown(metric: Seen, *, over: bool) -> Shown:
    """What a line tells of a metric: its first number stands for it.

    Why:    a judge of all looks together says nothing of a single one, so only those that errored are counted apart.
    """
    points, panels = metric["points"], metric["panels"]
    lines = panels[0]["lines"] if panels else []
    values = lines[0]["values"] if lines else [None] * len(points)
    counts = metric["counts"]
    counted = sum(counts.values()) - counts["errored"]
    told = counts if metric.get("judge") in {None, "threshold"} else {"errored": counts["errored"]}
    said = ", ".join(f"{number} {status}" for status, number in told.items() if number)
    most = f" of {metric['count']}" if "count" in metric else " so far"
    return Shown(
        name=metric["name"],
        state="ended with it" if over and metric["state"] == "running" else metric["state"],
        values=values[-SPARK_CELLS:],
        statuses=[point["status"] for point in points[-SPARK_CELLS:]],
        counts=f"{counted}{most}{f' ({said})' if said else ''}",
        last=_last(panels[0]) if panels else "",
        next_at=_next(metric),
    )


def _next(metric: Seen) -> str:
    """When it is measured next, or what it waits for; nothing where it is over."""
    if "nextAt" not in metric:
        return ""
    if metric.get("provider") == POSTED:
        return "waits for a result (interlock post)"
    return f"next {metric['nextAt'][:19]}Z"


def spark(metric: Shown, levels: str) -> str:
    """The last numbers as a small line."""
    known = [value for value in metric.values if value is not None]
    least, span = (min(known), max(known) - min(known)) if known else (0.0, 0.0)
    drawn = []
    for value, status in zip(metric.values, metric.statuses, strict=True):
        if value is None:
            drawn.append("x" if status == "errored" else " ")
        else:
            drawn.append(levels[round((value - least) / span * (len(levels) - 1)) if span else 0])
    return "".join(drawn)


class Screen:
    """Lines that are drawn in place, or one for each change where there is no terminal."""

    def __init__(self, output: str) -> None:
        self._output = output
        self._width = None if os.environ.get("TERM") == "dumb" else terminal_width()
        self._drawn = 0
        self._last: Seen = {}
        self._noted = ""
        self._headed = False
        utf8 = (getattr(sys.stdout, "encoding", None) or "").lower().replace("-", "") == "utf8"
        self._levels, self._cut = (LEVELS, "…") if utf8 else (PLAIN_LEVELS, ">")

    def show(self, series: Seen) -> None:
        """Show how far it is, if that is news."""
        self._noted = ""
        if series == self._last:
            return
        before, self._last = self._last, series
        if self._output == "name":
            return
        if self._output in {"json", "yaml"}:
            self._print_data(series)
        elif self._width is None:
            self._print_changes(series, before)
        else:
            self._draw(list(self._lines(series)))

    def note_once(self, sentence: str) -> None:
        """Say something beside the lines, once as long as it is so."""
        if sentence == self._noted:
            return
        click.echo(sentence, err=True)
        self._noted = sentence
        self._drawn = 0

    def end(self, series: Seen, *, code: int) -> None:
        """Say how it ended: on stdout when well, else on stderr."""
        self.give_up(_verdict(series), named=series["id"], code=code)

    def give_up(self, sentence: str, *, named: str | None, code: int = LATE) -> None:
        """The last word."""
        if self._output == "name" and named:
            click.echo(f"verification/{named}")
        if self._output == "table" or code != DONE:
            click.echo(sentence, err=code != DONE)

    def _lines(self, series: Seen) -> Iterator[str]:
        yield f"{_title(series)}: {series['state']}"
        metrics = [shown(metric, over=_over(series)) for metric in series["metrics"]]
        widest = max((cells_wide(metric.name) for metric in metrics), default=0)
        cells = max((len(metric.values) for metric in metrics), default=0)
        for metric in metrics:
            name = metric.name + " " * (widest - cells_wide(metric.name))
            yield f"  {name}  {spark(metric, self._levels):<{cells}}  {metric.says()}".rstrip()
        if waiting := _waiting(series):
            yield f"  {waiting}"

    def _print_changes(self, series: Seen, before: Seen) -> None:
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        if not self._headed:
            click.echo(f"{now}  {_title(series)}: {series['state']}")
            self._headed = True
        known = {metric["id"]: shown(metric, over=_over(before)) for metric in before.get("metrics", ())}
        for metric in series["metrics"]:
            line = shown(metric, over=_over(series))
            was = known.get(metric["id"])
            if was is None or (was.state, was.counts) != (line.state, line.counts):
                click.echo(f"{now}  {metric['name']}: {line.says()}")
        if (waiting := _waiting(series)) and waiting != _waiting(before):
            click.echo(f"{now}  {waiting}")

    def _draw(self, lines: Sequence[str]) -> None:
        """Over what was drawn before. A line that wraps would count for two, so none does."""
        width = (self._width or 80) - 1
        back = f"\x1b[{self._drawn}F\x1b[J" if self._drawn else ""
        fit = [line if cells_wide(line) <= width else line[: width - 1] + self._cut for line in lines]
        click.echo(back + "\n".join(fit))
        self._drawn = len(lines)

    def _print_data(self, series: Seen) -> None:
        said = {
            **{key: value for key, value in series.items() if key != "metrics"},
            "metrics": [_data(metric) for metric in series["metrics"]],
        }
        click.echo(json.dumps(said, ensure_ascii=False) if self._output == "json" else f"---\n{as_yaml(said)}".rstrip())


def _data(metric: Seen) -> Seen:
    """A metric without its points: what is new of it."""
    said = {key: value for key, value in metric.items() if key not in {"points", "panels"}}
    if metric["points"]:
        said["last"] = {
            **metric["points"][-1],
            "values": {line["name"]: line["values"][-1] for panel in metric["panels"] for line in panel["lines"]},
        }
    return said


def _over(series: Seen) -> bool:
    return bool(series["state"] != "running")


def _title(series: Seen) -> str:
    return str(series["about"])


def _waiting(series: Seen) -> str:
    """What is waited for where nothing could tell and it is measured again by itself."""
    if not (series.get("held") and "againAt" in series):
        return ""
    at, name = f"{series['againAt'][:19]}Z", series["id"][:8]
    return f"nothing could tell; measured again at {at}, or before: interlock verification accept|fail|again {name}"


def _verdict(series: Seen) -> str:
    sentence = f"{_title(series)}: {series['says']}"
    if series.get("held"):
        name = series["id"][:8]
        sentence += f" A person says what it is: interlock verification accept|fail|again {name}."
    return sentence


def _last(panel: Seen) -> str:
    """The newest numbers of a panel, with their unit."""
    said = []
    for line in panel["lines"]:
        known = [value for value in line["values"] if value is not None]
        if known and line["role"] in {"value", "canary", "baseline"}:
            name = "last" if line["role"] == "value" else line["name"]
            said.append(f"{name} {_number(known[-1], panel['unit'])}")
    return ", ".join(said)


def _number(value: float, unit: str) -> str:
    if unit == "ratio":
        return f"{value * 100:.4g} %"
    return f"{value:.4g}{f' {unit}' if unit else ''}"


def _wait_s(series: Seen) -> float:
    """Until the next measurement, by how often they are taken."""
    running = [metric["intervalSeconds"] for metric in series["metrics"] if metric["state"] == "running"]
    return min(max(min(running, default=LOOK_MAX_S) / 2, LOOK_MIN_S), LOOK_MAX_S)


def _meant(client: Client, text: str | None, *, job_id: str | None, target: str | None) -> str | None:
    """The id of the verification that is meant; None where a job or a target has none yet.

    Fails: `NotFound` or `Conflict` when the text names none or several; `NotFound` for a job or deployment that is not.
    """
    if text is not None and is_id(text):
        return text
    if job_id is not None:
        client.get_job(job_id)
        return next((each["id"] for each in client.list_verifications(job_id=job_id, items_max=1)), None)
    if target is not None:
        return _of_target(client, target)
    meant = [each["id"] for each in client.list_verifications() if each["id"].startswith(str(text))]
    if not meant:
        raise NotFound(f"No verification matches {text}. `interlock verification list --state any` lists all of them.")
    if len(meant) > 1:
        raise Conflict(f"{len(meant)} verifications match {text}; give more of the id.")
    return meant[0]


def _of_target(client: Client, target: str) -> str | None:
    parts = target.split("/", 2)
    if len(parts) != len(PLACE):
        raise click.UsageError(f"A target is DEPLOYMENT/ENVIRONMENT/RESOURCE, not {target}.")
    deployment = client.find_deployment(parts[0])
    if deployment is None:
        raise NotFound(f"There is no deployment named {parts[0]}.")
    for each in client.list_verifications(deployment_id=deployment["deployment"]["id"], items_max=LOOKED_AT_MAX):
        place: Seen = each
        if [place[kind]["name"] for kind in PLACE if kind in place] == parts:
            return each["id"]
    return None
