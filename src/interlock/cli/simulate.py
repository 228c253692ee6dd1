"""`interlock simulate`: play a rollout on a virtual clock, and see what would happen.

    interlock simulate examples/scenarios/canary.yaml
    interlock simulate tests/scenarios/*.yaml -o json

The same core decides as in production; the agents and verifications behave as the file says. No server and no database
are asked. The exit code is 1 when an expectation of a file does not hold.
"""

from __future__ import annotations

import sys
from pathlib import Path

import click

from interlock.cli.tables import output_option, print_data, table
from interlock.model.errors import Invalid


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="SCENARIO.yaml...")
@output_option
@click.option("-q", "--quiet", is_flag=True, help="Print only what was expected and is not so.")
@click.option(
    "--events-max", type=click.IntRange(min=1), default=None, help="Steps of the clock that a story may take."
)
@click.option("--targets-max", type=click.IntRange(min=1), default=None, help="Targets that a story may have.")
@click.pass_context
def simulate(
    ctx: click.Context,
    files: tuple[str, ...],
    *,
    output: str,
    quiet: bool,
    events_max: int | None,
    targets_max: int | None,
) -> None:
    r"""Play rollouts from files on a virtual clock.

    Prints what happens, when and why, and what holds whom. Exit code 1: an expectation does not hold.

    \b
    interlock simulate examples/scenarios/one-bad-host.yaml
    interlock simulate scenarios/*.yaml --quiet
    """
    from interlock.simulate.play import Played, play
    from interlock.simulate.script import EVENTS_MAX, TARGETS_MAX, read_script
    from interlock.simulate.timeline import text

    scripts = [
        read_script(_text(file), file=file, events_max=events_max or EVENTS_MAX, targets_max=targets_max or TARGETS_MAX)
        for file in files
    ]
    found: list[Played] = []
    for script in scripts:
        played = play(script)
        found.append(played)
        if output != "table":
            if output == "name":
                click.echo(f"scenario/{script.file}")
            continue
        if not quiet:
            click.echo(f"# {script.title}  ({script.file})")
            for line in text(played.timeline.lines):
                click.echo(line)
            click.echo("")
            rows = [
                (environment, target, runs)
                for environment, targets in played.ends_with().items()
                for target, runs in targets.items()
            ]
            click.echo(table(("environment", "target", "runs"), rows[:SHOWN_MAX]))
            if len(rows) > SHOWN_MAX:
                click.echo(f"and {len(rows) - SHOWN_MAX} more")
        for failure in played.failures:
            click.echo(f"{script.file}:{failure.line}: {failure.at:%Y-%m-%dT%H:%M:%SZ}: {failure.sentence}", err=True)
        if played.checked:
            held = played.checked - len({(one.line, one.sentence.split(":")[0]) for one in played.failures})
            click.echo(f"{held} of {played.checked} expectations hold.\n", err=quiet)
    if output in {"json", "yaml"}:
        bodies = [played.json() for played in found]
        print_data(bodies[0] if len(bodies) == 1 else bodies, output=output)
    if any(played.failures for played in found):
        ctx.exit(1)


SHOWN_MAX = 40
"""Targets in the table at the end."""


def _text(file: str) -> str:
    try:
        return sys.stdin.read() if file == "-" else Path(file).read_text()
    except (OSError, UnicodeDecodeError) as cause:
        raise Invalid(f"{file} cannot be read: {cause}") from cause
