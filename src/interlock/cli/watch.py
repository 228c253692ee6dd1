"""`interlock watch`: how far is this version, and does it end well? A bar for each environment, as it happens.

    interlock watch shop-api                                   the newest version, everywhere
    interlock watch shop-api 1.4.0 --environment production
    interlock watch shop-api 1.4.0 --timeout 30m || exit 1     in CI: waits, and fails with it

In a terminal the bars are drawn in place; into a pipe goes one line for each change, and `-o json` gives one object for
each. It follows the ledger, across broken connections, and looks by itself every few seconds besides.

Exit codes: 0 the version runs on every target of the environments; 1 it failed: a rollout was halted or aborted, the
version was rejected or replaced by another, or a target went back and nothing is on the way any more; 5 the time is
over. What only waits (for a person, a window, a freeze) is neither, and is shown with what holds it.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import click

from interlock.cli.columns import cells_wide, terminal_width
from interlock.cli.completion import names_of, tags
from interlock.cli.connection import connected
from interlock.cli.exit_codes import DONE, FAILED, LATE
from interlock.cli.places import find_version, parse_duration
from interlock.cli.tables import as_yaml, output_option
from interlock.cli.version import deployment_id
from interlock.client import Client, Seen
from interlock.model.errors import InterlockError, NotFound, Unavailable

LOOK_EVERY_S = 5.0
"""How long to believe a silent stream."""
SETTLE_S = 0.15
"""Events come in bunches; one look serves a bunch."""
BAR_CELLS = 30
HELD_SHOWN = 3

ENDED = {"halted", "aborted", "superseded"}
"""States of a rollout after which nothing more of it starts by itself."""
THERE = ("verified", "running")
GONE = ("failed", "left", "past")


@dataclass(frozen=True, slots=True)
class Bar:
    """How far one environment is."""

    environment: str
    total: int
    there: int
    moving: int
    gone: int
    rollout: str | None
    why: str | None
    held: tuple[str, ...]

    @property
    def is_done(self) -> bool:
        """Whether every target runs the version."""
        return self.there == self.total

    @property
    def has_failed(self) -> bool:
        """Whether it ended, and not well."""
        if self.is_done or self.moving:
            return False
        return self.rollout in ENDED or (self.gone > 0 and self.there + self.gone == self.total)

    def says(self) -> str:
        """The environment in one phrase."""
        parts = [f"{self.there}/{self.total}"]
        parts += [f"{self.moving} on the way"] if self.moving else []
        parts += [f"{self.gone} failed or went back"] if self.gone else []
        if self.rollout not in {None, "open", "complete"}:
            parts.append(f"{self.rollout}{f': {self.why}' if self.why else ''}")
        return ", ".join(parts)


@click.command()
@click.argument("deployment", shell_complete=names_of("deployment"))
@click.argument("version", required=False, metavar="[TAG]", shell_complete=tags)
@click.option(
    "-e",
    "--environment",
    "environments",
    multiple=True,
    shell_complete=names_of("environment"),
    help="Only this one; may repeat.",
)
@click.option("--timeout", "lasts", metavar="30m", help="Give up after so long, with exit code 5.  [default: never]")
@output_option
@click.pass_context
@connected
def watch(
    client: Client,
    ctx: click.Context,
    deployment: str,
    version: str | None,
    *,
    environments: Sequence[str],
    lasts: str | None,
    output: str,
) -> None:
    r"""Follow a version until it runs everywhere, or fails.

    Exit code 0: it runs on every target. 1: it failed, was halted, rejected or replaced. 5: the time is over.

    \b
    interlock watch shop-api 1.4.0
    interlock watch shop-api 1.4.0 --environment production --timeout 30m
    """
    until_s = time.monotonic() + parse_duration(lasts, option="--timeout").total_seconds() if lasts else None
    owner = deployment_id(client, deployment)
    meant = find_version(client, owner, version) if version else _newest(client, owner, deployment)
    news = _listen(client, owner)
    screen = Screen(output)
    name, bars = deployment, []
    while True:
        try:
            standing = client.get_version_standing(meant)
        except Unavailable as error:
            screen.note(f"{error.message} Trying again.")
        else:
            name = f"{deployment} {standing['version']['tag']}"
            bars = list(read_bars(standing, only=environments))
            screen.show(name, bars)
            code, sentence = outcome(name, standing["version"], bars)
            if code is not None:
                screen.end(sentence, code=code, named=f"version/{deployment}/{standing['version']['tag']}")
                ctx.exit(code)
        left_s = None if until_s is None else until_s - time.monotonic()
        if left_s is not None and left_s <= 0:
            far = "; ".join(f"{bar.environment} {bar.says()}" for bar in bars) or "nothing is known"
            screen.end(f"{name} is not done after {lasts}: {far}.", code=LATE, named=f"deployment/{deployment}")
            ctx.exit(LATE)
        if news.wait(LOOK_EVERY_S if left_s is None else min(LOOK_EVERY_S, left_s)):
            time.sleep(SETTLE_S)
            news.clear()


def read_bars(standing: Seen, *, only: Sequence[str]) -> Iterator[Bar]:
    """Where a version stands, environment by environment.

    Fails: `NotFound` when an environment of `only` has no target of the deployment.
    """
    stages = {stage["environment"]["name"]: stage for stage in standing["stages"]}
    if unknown := [name for name in only if name not in stages]:
        there = ", ".join(stages) or "none"
        raise NotFound(f"The deployment has no target in {unknown[0]} (it has some in: {there}).")
    for name, stage in stages.items():
        if only and name not in only:
            continue
        counts, rollout = stage["counts"], stage.get("rollout") or {}
        yield Bar(
            environment=name,
            total=len(stage["targets"]),
            there=sum(counts.get(state, 0) for state in THERE),
            moving=counts.get("moving", 0),
            gone=sum(counts.get(state, 0) for state in GONE),
            rollout=rollout.get("state"),
            why=rollout.get("reason"),
            held=tuple(
                f"{cell['resource']['name']}: {cell['holds']}" for cell in stage["targets"] if cell.get("holds")
            ),
        )


def outcome(name: str, version: Seen, bars: Sequence[Bar]) -> tuple[int | None, str]:
    """(exit code, sentence) once it is over; (None, "") before."""
    if version["status"] in {"rejected", "failed"}:
        message = f": {version['message']}" if version.get("message") else ""
        return FAILED, f"{name} is {version['status']}{message}."
    failed = [bar for bar in bars if bar.has_failed]
    if failed:
        return FAILED, f"{name} failed in {failed[0].environment}: {failed[0].says()}."
    if bars and all(bar.is_done for bar in bars):
        targets = sum(bar.total for bar in bars)
        return DONE, f"{name} runs on {f'all {targets} targets' if targets != 1 else 'its one target'}."
    return None, ""


class Screen:
    """Bars that are drawn in place, or lines where there is no terminal."""

    def __init__(self, output: str) -> None:
        self._output = output
        self._width = terminal_width()
        self._drawn = 0
        self._last: list[Bar] = []
        utf8 = (getattr(sys.stdout, "encoding", None) or "").lower().replace("-", "") == "utf8"
        self._full, self._empty = ("█", "░") if utf8 else ("#", ".")

    def show(self, name: str, bars: Sequence[Bar]) -> None:
        """Show how far it is, if that is news."""
        if list(bars) == self._last:
            return
        changed = [bar for bar in bars if bar not in self._last]
        self._last = list(bars)
        if self._output == "name":
            return
        if self._output in {"json", "yaml"}:
            self._print_data(name, bars)
        elif self._width is None:
            for bar in changed:
                held = f"; {bar.held[0]}" if bar.held else ""
                click.echo(
                    f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())}  {bar.environment}: {bar.says()}{held}"
                )
        else:
            self._draw(list(self._lines(name, bars)))

    def note(self, sentence: str) -> None:
        """Say something beside the bars."""
        click.echo(sentence, err=True)
        self._drawn = 0

    def end(self, sentence: str, *, code: int, named: str) -> None:
        """Say how it ended: on stdout when well, else on stderr."""
        if self._output == "name":
            click.echo(named)
        if self._output == "table" or code != DONE:
            click.echo(sentence, err=code != DONE)

    def _lines(self, name: str, bars: Sequence[Bar]) -> Iterator[str]:
        yield name
        widest = max((cells_wide(bar.environment) for bar in bars), default=0)
        for bar in bars:
            filled = BAR_CELLS * bar.there // bar.total if bar.total else 0
            drawn = self._full * filled + self._empty * (BAR_CELLS - filled)
            yield f"  {bar.environment}{' ' * (widest - cells_wide(bar.environment))}  {drawn}  {bar.says()}"
            yield from (f"  {'':<{widest}}  {line}" for line in bar.held[:HELD_SHOWN])
            if len(bar.held) > HELD_SHOWN:
                yield f"  {'':<{widest}}  and {len(bar.held) - HELD_SHOWN} more are held"

    def _draw(self, lines: Sequence[str]) -> None:
        """Over what was drawn before. A line that wraps would count for two, so none does."""
        width = (self._width or 80) - 1
        back = f"\x1b[{self._drawn}F\x1b[J" if self._drawn else ""
        click.echo(back + "\n".join(line if len(line) <= width else line[: width - 1] + "…" for line in lines))
        self._drawn = len(lines)

    def _print_data(self, name: str, bars: Sequence[Bar]) -> None:
        said = {"name": name, "environments": [_data(bar) for bar in bars]}
        click.echo(json.dumps(said, ensure_ascii=False) if self._output == "json" else f"---\n{as_yaml(said)}".rstrip())


def _data(bar: Bar) -> Seen:
    said = {
        "environment": bar.environment,
        "targets": bar.total,
        "there": bar.there,
        "moving": bar.moving,
        "gone": bar.gone,
        "rollout": bar.rollout,
        "reason": bar.why,
        "held": list(bar.held),
    }
    return {key: value for key, value in said.items() if value is not None}


def _newest(client: Client, owner: str, deployment: str) -> str:
    for each in client.list_versions(owner, items_max=1):
        return each["id"]
    raise NotFound(f"{deployment} has no version yet.")


def _listen(client: Client, owner: str) -> threading.Event:
    """Something that is set whenever the ledger says something about the deployment."""
    news = threading.Event()

    def follow() -> None:
        try:
            for _ in client.keep_following_ledger(subject=f"deployment:{owner}"):
                news.set()
        except InterlockError:
            return

    threading.Thread(target=follow, daemon=True).start()
    return news
