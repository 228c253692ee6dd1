"""Where are servers and keys kept? A file of contexts, readable by its owner alone.

A context is a server, a key and a workspace under a name; one of them is current. The file is
`~/.config/interlock/config.toml` (XDG Base Directory Specification: `$XDG_CONFIG_HOME`), mode 0600, and is replaced
whole by a rename, so that a crash leaves the old one.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path

import click

from interlock.model.errors import Invalid, NotFound


@dataclass(frozen=True, slots=True)
class Context:
    """A server, a key and a workspace, as far as they are said."""

    url: str | None = None
    api_key: str | None = None
    workspace: str | None = None


WORDS = tuple(each.name for each in fields(Context))


@dataclass(frozen=True, slots=True)
class Config:
    """The file: its contexts by name, which one is current, and what stands at its top without a name."""

    current: str | None = None
    contexts: Mapping[str, Context] = field(default_factory=dict)
    top: Context = field(default_factory=Context)

    def chosen(self, name: str | None) -> Context:
        """The context of this name, else the current one, else what has no name.

        Fails: `NotFound` when there is none of this name.
        """
        name = name or self.current
        if name is None:
            return self.top
        if name not in self.contexts:
            there = ", ".join(sorted(self.contexts)) or "none; `interlock login` makes one"
            raise NotFound(f"There is no context {name} in {config_path()} (there: {there}).")
        return self.contexts[name]

    def with_context(self, name: str, context: Context) -> Config:
        """The same with this context, which is now current."""
        return replace(self, current=name, contexts={**self.contexts, name: context})

    def without(self, name: str) -> Config:
        """The same without a context."""
        left = {each: one for each, one in self.contexts.items() if each != name}
        return replace(self, contexts=left, current=self.current if self.current in left else None)


def config_path() -> Path:
    """Where the file is."""
    home = os.environ.get("XDG_CONFIG_HOME")
    return (Path(home) if home else Path.home() / ".config") / "interlock" / "config.toml"


def load_config() -> Config:
    """The file; empty when there is none. Says so when others may read it.

    Fails: `Invalid` when the file is no TOML or holds another word, so that a typing error does not pass in silence.
    """
    import tomllib

    path = config_path()
    try:
        read = tomllib.loads(path.read_text())
    except FileNotFoundError:
        return Config()
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as cause:
        raise Invalid(f"{path} cannot be read: {cause}") from cause
    if path.stat().st_mode & 0o077 and "api_key" in path.read_text():
        click.echo(f"Others can read the keys in {path}: chmod 600 {path}", err=True)
    current, contexts = read.pop("current", None), read.pop("contexts", {})
    if not isinstance(current, str | None) or not isinstance(contexts, dict):
        raise Invalid(f"{path}: current is a name, and contexts are tables: [contexts.NAME].")
    return Config(
        current=current,
        contexts={name: _context(path, one, at=f"contexts.{name}.") for name, one in contexts.items()},
        top=_context(path, read, at=""),
    )


def _context(path: Path, words: object, *, at: str) -> Context:
    if not isinstance(words, dict):
        raise Invalid(f"{path}: {at.rstrip('.')} is no table.")
    for key, value in words.items():
        if key not in WORDS or not isinstance(value, str):
            raise Invalid(f"{path}: {at}{key} is not one of {', '.join(WORDS)} as text.")
    return Context(**words)


def save_config(config: Config) -> Path:
    """Write the file, for its owner alone."""
    path = config_path()
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    lines = _words(config.top)
    if config.current is not None:
        lines.insert(0, f"current = {_text(config.current)}")
    for name, context in config.contexts.items():
        lines += ["", f"[contexts.{_text(name)}]", *_words(context)]
    fresh = path.with_suffix(f".{os.getpid()}.new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as into:
        into.write("\n".join(lines) + "\n")
    fresh.replace(path)
    return path


def _words(context: Context) -> list[str]:
    said = {word: getattr(context, word) for word in WORDS}
    return [f"{word} = {_text(value)}" for word, value in said.items() if value is not None]


def _text(value: str) -> str:
    """A TOML basic string; JSON's escapes are among its own."""
    return json.dumps(value)
