"""Which pages of the documentation are written from the code? `make docs` writes them; a house test checks them.

A rule's, an agent's and a metric provider's docstring is its page, so that there is one text to keep true. The
diagram of a job's status is drawn from its transition table, the list of ledger events from the kinds that exist.
Nothing here holds prose about a rule; to change a page, change the module.

Not done here: what people write by hand (story, glossary, decisions, guides).
"""

from __future__ import annotations

import importlib
import inspect
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import click

from interlock.access import OPERATIONS, PERMISSIONS, ROLE_SENTENCES, SENTENCES, Permission, Role
from interlock.agents.conduct import conduct_page
from interlock.agents.keys import table_of
from interlock.cli.commands import COMMANDS, SECTIONS
from interlock.cli.program import cli
from interlock.client import Client
from interlock.client.reach import Reach
from interlock.metrics.filling import PAGE as TEMPLATES_PAGE
from interlock.metrics.ready import ready_page
from interlock.model.job import TERMINAL, TRANSITIONS, JobStatus

DOCS = Path(__file__).resolve().parent

NOTE = "<!-- Written by `make docs` from {source}. Change it there. -->\n"

Pages = Mapping[Path, str]
"""path under docs/ -> the page's text"""


def render_pages() -> dict[Path, str]:
    """Every generated page."""
    return {
        **render_registry(
            "rules",
            module="interlock.decide.rules",
            registry="RULES",
            title="Rules",
            about="What a policy can ask for, in the order the rules are asked. One page per rule.\n"
            "Which kind of move asks which of them: [kinds of move](../reference/moves.md).",
        ),
        **render_registry(
            "agents",
            module="interlock.agents",
            registry="AGENTS",
            title="Job agents",
            about="Who does the work. One page per agent.",
            after=conduct_page(),
        ),
        **render_registry(
            "metrics",
            module="interlock.metrics",
            registry="METRICS",
            title="Metric providers",
            about="How a verification measures. One page per provider.",
            after=f"{ready_page()}\n{TEMPLATES_PAGE}",
        ),
        Path("reference/job-status.md"): render_job_status(),
        Path("reference/ledger-events.md"): render_ledger_events(),
        Path("reference/moves.md"): render_moves(),
        Path("reference/access.md"): render_access(),
        Path("reference/cli.md"): render_commands(),
        Path("reference/exit-codes.md"): render_exit_codes(),
        Path("reference/documents.md"): render_documents(),
        Path("reference/interlock.schema.json"): render_schema(),
        Path("reference/client.md"): render_client(),
    }


# --- registries -----------------------------------------------------------------------------------------------------


def render_registry(
    folder: str, module: str, *, registry: str, title: str, about: str, after: str = ""
) -> dict[Path, str]:
    """A page per entry of a registry, and the folder's list of them in the registry's order; `after` ends the list."""
    entries = tuple(getattr(importlib.import_module(module), registry))
    pages = {}
    rows = []
    for entry in entries:
        home = home_of(entry)
        name = f"{home.__name__.rsplit('.', 1)[-1]}.md"
        heading, purpose, rest = split_docstring(home, kind=entry.kind)
        source = f"`{source_of(home)}`"
        parts = (f"# {heading}", NOTE.format(source=source).rstrip(), render_keys(entry, rest), render_reasons(entry))
        pages[Path(folder) / name] = "\n\n".join(part.strip() for part in parts if part.strip()) + "\n"
        rows.append(f"| [{entry.kind}]({name}) | {purpose} |")
    listed = "\n".join(["| name | what it is |", "|---|---|", *rows])
    source = f"`{registry}` in `{source_of(importlib.import_module(module))}`"
    pages[Path(folder) / "README.md"] = f"# {title}\n\n{NOTE.format(source=source)}\n{about}\n\n{listed}\n" + (
        f"\n{after}" if after else ""
    )
    return pages


def render_keys(entry: object, text: str) -> str:
    """A page's text with the table of its config's keys where it says `{keys}`: an agent's `keys` give it."""
    keys = getattr(entry, "keys", ())
    return text.replace("{keys}", table_of(keys, open_ended=getattr(entry, "open_ended", False)))


def render_reasons(entry: object) -> str:
    """What a rule can say, as its `REASONS` give it. Empty for what has none."""
    reasons: Mapping[str, str] = getattr(entry, "REASONS", {})
    rows = [f"| `{code}` | {sentence.replace('|', '/')} |" for code, sentence in reasons.items()]
    return "\n".join(["## What it says", "", "| reason | sentence |", "|---|---|", *rows]) if rows else ""


def home_of(entry: object) -> ModuleType:
    """The module whose docstring is the entry's page: the entry itself, or where its class stands."""
    if isinstance(entry, ModuleType):
        return entry
    cls = entry if isinstance(entry, type) else type(entry)
    return importlib.import_module(cls.__module__)


def split_docstring(module: ModuleType, *, kind: str) -> tuple[str, str, str]:
    """A module's docstring as heading, purpose in one line, and Markdown for the page.

    Takes: the first paragraph is `# anyApproval: a person says yes first` or `Exec: a job is a command.`
    Gives: the heading begins with the kind as the wire writes it.
    """
    text = inspect.cleandoc(module.__doc__ or "")
    first, _, rest = text.partition("\n\n")
    title = " ".join(first.removeprefix("# ").split())
    name, colon, purpose = title.partition(": ")
    purpose = purpose if colon and len(name.split()) <= 2 else title
    return f"{kind}: {purpose.rstrip('.')}", purpose[:1].upper() + purpose[1:].rstrip("."), rest


def source_of(module: ModuleType) -> str:
    """Where the module stands, from the top of the checkout."""
    path = Path(str(module.__file__)).resolve()
    return path.relative_to(DOCS.parent).as_posix()


# --- references -----------------------------------------------------------------------------------------------------


def render_job_status() -> str:
    """The status of a job: its diagram and its table, both from the transition table."""
    open_ones = [status for status in JobStatus if status not in TERMINAL]
    final = [status for status in JobStatus if status in TERMINAL]
    arrows = [f"    {a.value} --> {b.value}" for a in open_ones for b in open_ones if b in TRANSITIONS[a]]
    to_final = [f"    {a.value} --> final" for a in open_ones if TRANSITIONS[a] & TERMINAL]
    names = [f"    final : {status.value}" for status in final]
    diagram = ["stateDiagram-v2", "    [*] --> pending", *arrows, *to_final, *names, "    final --> [*]"]
    table = [
        f"| `{status.value}` | {', '.join(f'`{s.value}`' for s in open_ones if s in TRANSITIONS[status]) or '–'} | "
        f"{'any of the final ones' if TRANSITIONS[status] >= TERMINAL else '–'} |"
        for status in open_ones
    ]
    return "\n".join(
        [
            "# The status of a job",
            "",
            NOTE.format(source="`TRANSITIONS` in `src/interlock/model/job.py`"),
            "These are the wire's words. Final is final: news that arrives late or out of order is noted in the ledger",
            "and changes nothing. A retry is a new job; an attempt is one hand-over of the same job. A job whose lease",
            "ended may be `pending` again, which no word from outside can do.",
            "",
            "```mermaid",
            *diagram,
            "```",
            "",
            "| status | may become | may end as |",
            "|---|---|---|",
            *table,
            "",
            f"Final: {', '.join(f'`{status.value}`' for status in final)}.",
            "",
        ]
    )


def render_ledger_events() -> str:
    """Every kind of ledger event with its line."""
    event = importlib.import_module("interlock.model.event")
    rows = "\n".join(f"| `{kind}` | {line} |" for kind, line in event.KINDS.items())
    return (
        "# Events of the ledger\n\n"
        + NOTE.format(source="`src/interlock/model/event.py`")
        + "\nThe ledger records transitions: who, why, when, and what the decision rested on.\n"
        "Rows are added and never changed.\n\n"
        f"| kind | what happened |\n|---|---|\n{rows}\n"
    )


MOVES = {
    "forward": "another version; a first deployment too",
    "config": "the same version with another resolved config",
    "pin": "the version that somebody pinned",
    "retry": "the next attempt of a move that failed",
    "redeploy": "the same release once more, by a person",
    "rollback": "back to the last good release, by a rule or a person",
    "force": "a version that somebody forces, with a reason",
}


def render_access() -> str:
    """Which permission each role carries, and what each operation of the API needs."""
    heads = ["| permission | what it lets one do | " + " | ".join(Role) + " |", "|---|---|" + ":-:|" * len(Role)]
    roles = [
        f"| `{each}` | {SENTENCES[each]} | "
        + " | ".join("x" if each in PERMISSIONS[role] else "" for role in Role)
        + " |"
        for each in Permission
    ]
    people = [f"- **{role}**: {ROLE_SENTENCES[role]}" for role in Role]
    rows = []
    for operation, needs in OPERATIONS.items():
        words = " or ".join(f"`{each}`" for each in Permission if each in needs.permissions)
        who = words or ("nothing" if needs.public else "a key")
        writes = needs.permissions - {Permission.READ}
        over = "" if not writes else "where the object lies" if needs.within else "the workspace"
        rows.append(f"| `{operation}` | {who} | {over} | {'x' if needs.agents else ''} |")
    note = NOTE.format(source="`access/permissions.py` and `access/operations.py`").rstrip()
    return "\n".join(
        [
            "# Roles, permissions, operations",
            "",
            note,
            "",
            *people,
            "",
            *heads,
            *roles,
            "",
            "A workspace may have roles of its own. Reading is workspace-wide: whoever has any role reads all of it",
            "but secrets.",
            "",
            "## What each operation needs",
            "",
            "`/W` is `/v1/workspaces/{workspaceId}`. *Over*: where the role must be; *agent*: an agent's token",
            "will do, for its own.",
            "",
            "| operation | needs | over | agent |",
            "|---|---|---|:-:|",
            *rows,
            "",
        ]
    )


def render_moves() -> str:
    """Which kind of move asks which rule, from the tables that rounds go by."""
    gates, pace, slots, rules = (
        importlib.import_module(f"interlock.decide.{name}") for name in ("gates", "pace", "slots", "rules")
    )
    said = {
        "limit": "yes",
        "kept": "keeps it",
        "rollback cap": "at the rollback cap",
        "not asked": "counted only",
    }

    def cell(kind: str, rule: ModuleType) -> str:
        if rule.kind == "gradualRollout":
            return "yes" if pace.PACED[kind] else "–"
        if rule.kind == "concurrency":
            return said[slots.ASKED_AT[kind]]
        if rule.shape == "candidate":
            return "yes" if kind == "forward" else "–"
        if rule.kind in gates.ASKED[kind]:
            return "yes"
        return "with `appliesTo`" if kind == "config" and hasattr(rule, "parse") else "–"

    asked = [rule for rule in rules.RULES if rule.shape in {"candidate", "gate", "pace"}]
    status = ["yes" if kind == "forward" or kind in gates.STATUS_ASKED else "–" for kind in MOVES]
    rows = [("version status", status), *((rule.kind, [cell(kind, rule) for kind in MOVES]) for rule in asked)]
    table = [f"| {name} | {' | '.join(cells)} |" for name, cells in rows]
    kinds = [f"| `{kind}` | {line} |" for kind, line in MOVES.items()]
    return "\n".join(
        [
            "# Kinds of move, and what each asks",
            "",
            NOTE.format(
                source="`ASKED` in `src/interlock/decide/gates.py`, `PACED` in `pace.py`, `ASKED_AT` in `slots.py`"
            ),
            "A rule is asked about a move that would start, never about what runs.",
            "What a kind of move does not ask cannot hold it.",
            "",
            "| move | what it brings |",
            "|---|---|",
            *kinds,
            "",
            f"| rule | {' | '.join(f'`{kind}`' for kind in MOVES)} |",
            f"|---|{'---|' * len(MOVES)}",
            *table,
            "",
            "The other rules keep no move from starting: they say what must hold after the job, or what follows it.",
            "",
        ]
    )


def render_commands() -> str:
    """Every command as its own help says it, in the order of `interlock --help`."""

    def helps(command: click.Command, name: str, *, parent: click.Context) -> Iterator[str]:
        with click.Context(command, info_name=name, parent=parent, terminal_width=100) as ctx:
            yield "\n".join(["```text", *(line.rstrip() for line in command.get_help(ctx).splitlines()), "```"])
            for inner, one in getattr(command, "commands", {}).items():
                if not one.hidden:
                    yield from helps(one, inner, parent=ctx)

    parts = [
        "# The command line",
        NOTE.format(source="the commands in `src/interlock/cli`").rstrip(),
        "Each command as `interlock COMMAND --help` says it. [Exit codes](exit-codes.md).",
    ]
    root = click.Context(cli, info_name="interlock", help_option_names=["-h", "--help"])
    for name in COMMANDS:
        if name in SECTIONS:
            parts.append(f"# {SECTIONS[name]}")
        command = cli.get_command(root, name)
        if command is not None:
            parts += [f"## {name}", *helps(command, name, parent=root)]
    return "\n\n".join(parts) + "\n"


def render_documents() -> str:
    """Every kind of document with its keys, in the order of writing."""
    kinds = importlib.import_module("interlock.documents.kinds")
    listed = [f"| [{kind.name}](#{kind.name.lower()}) | {kind.about} |" for kind in kinds.KINDS]
    parts = [
        "# Documents",
        "",
        NOTE.format(source="`KINDS` in `src/interlock/documents/kinds/`"),
        "What files for `interlock apply` may say; how to work with them: [files](../guides/files.md). The kinds stand",
        "in the order in which they are written. **Bold** keys must be there. A key without a value counts as not",
        "written.",
        "[interlock.schema.json](interlock.schema.json) says the same to editors.",
        "",
        "| type | what it is |",
        "|---|---|",
        *listed,
        "",
    ]
    for kind in kinds.KINDS:
        module = importlib.import_module(kind.load.__module__)
        _, _, rest = split_docstring(module, kind=kind.name)
        rows = [_key_row(name, key) for name, key in kind.keys.items()]
        parts += [f"## {kind.name}", "", rest.strip(), "", "| key | value | not written | for |", "|---|---|---|---|"]
        parts += [*rows, ""]
    return "\n".join(parts)


def _key_row(name: str, key: Any) -> str:
    """A key's line: a default is what the server has where nothing was written."""
    absent = "" if key.required else "stays" if key.kept else "–"
    if key.default not in (None, "", [], {}):
        absent = f"`{json.dumps(key.default).strip(chr(34))}`"
    label = f"**{name}**" if key.required else name
    return f"| {label} | {key.shape.words} | {absent} | {key.about.replace('|', '/')} |"


def render_schema() -> str:
    """JSON Schema of the documents, for editors."""
    schema = importlib.import_module("interlock.documents.schema")
    return json.dumps(schema.document_schema(), indent=1, ensure_ascii=False) + "\n"


def render_client() -> str:
    """Every method of the Python client, part by part, with what it answers."""
    parts = [
        "# The Python client: every method",
        NOTE.format(source="`src/interlock/client`").rstrip(),
        "How it is used, with examples: [the guide](../guides/python-client.md). The types: `client/shapes.py`.",
    ]
    for part in (Client, *(one for one in Client.__mro__ if one not in {Client, Reach, object})):
        module = importlib.import_module(part.__module__)
        title = (
            split_docstring(module, kind=part.__name__)[1] if part is not Client else "The server and its workspaces"
        )
        methods = [
            (name, method)
            for name, method in vars(part).items()
            if inspect.isfunction(method) and not name.startswith("_")
        ]
        rows = [f"| `{name}{_signature(method)}` | {_first_line(method)} |" for name, method in methods]
        parts += [f"## {title}", "\n".join(["| method | what it does |", "|---|---|", *rows])]
    return "\n\n".join(parts) + "\n"


def _signature(method: Callable[..., object]) -> str:
    """`(deployment_id, *, tag) -> Version`: names, defaults and the answer; argument types are for editors."""
    found = inspect.signature(method)
    named = [
        one.replace(annotation=inspect.Parameter.empty) for name, one in found.parameters.items() if name != "self"
    ]
    text = str(found.replace(parameters=named, return_annotation=inspect.Signature.empty))
    return f"{text} → {found.return_annotation}".replace("|", "or")


def _first_line(method: Callable[..., object]) -> str:
    return (inspect.getdoc(method) or "").split("\n\n")[0].replace("\n", " ").replace("|", "/")


def render_exit_codes() -> str:
    """Every exit code, and what it says of the commands that scripts ask."""
    codes = importlib.import_module("interlock.cli.exit_codes")
    rows = [f"| {code} | {word} | {text} |" for code, (word, text) in codes.MEANINGS.items()]
    asked = [
        f"| `interlock {name}` | {'; '.join(f'**{code}** {text}' for code, text in said.items())} |"
        for name, said in codes.OF_COMMANDS.items()
    ]
    return "\n".join(
        [
            "# Exit codes",
            "",
            NOTE.format(source="`MEANINGS` and `OF_COMMANDS` in `src/interlock/cli/exit_codes.py`"),
            "The same of every command. Errors are one sentence on stderr; what was asked for is on stdout.",
            "",
            "| code | word | what it says |",
            "|---|---|---|",
            *rows,
            "",
            "Commands that scripts ask:",
            "",
            "| command | codes |",
            "|---|---|",
            *asked,
            "",
            "Every other command ends with 0, 1 or 2.",
            "",
        ]
    )


# --- writing --------------------------------------------------------------------------------------------------------

OWNED = ("rules", "agents", "metrics", "reference")
"""The folders that hold generated pages alone: a page whose module is gone goes too."""


def find_differences(pages: Pages) -> list[Path]:
    """The paths that are missing, outdated or no longer wanted. Empty means current."""
    wrong = [path for path, text in pages.items() if not (DOCS / path).is_file() or (DOCS / path).read_text() != text]
    stray = [p.relative_to(DOCS) for folder in OWNED for p in (DOCS / folder).glob("*.md")]
    return sorted({*wrong, *(path for path in stray if path not in pages)})


def write_pages(pages: Pages, *, say: Callable[[str], None] = print) -> None:
    """Bring the files in line and say which ones changed."""
    for path in find_differences(pages):
        file = DOCS / path
        if path in pages:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(pages[path])
            say(f"wrote docs/{path.as_posix()}")
        else:
            file.unlink()
            say(f"removed docs/{path.as_posix()}")


def main(arguments: list[str]) -> int:
    """`generate.py` writes; `generate.py --check` only says what is outdated, with exit code 1."""
    pages = render_pages()
    if "--check" in arguments:
        outdated = find_differences(pages)
        for path in outdated:
            print(f"outdated: docs/{path.as_posix()} (run make docs)")
        return 1 if outdated else 0
    write_pages(pages)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
