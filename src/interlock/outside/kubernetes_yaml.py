"""What does a YAML text hold? As `kubectl` reads it where that matters: `0644` is octal, `on` is a word.

Source: YAML 1.2; Kubernetes' own manifests.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from typing import Any

import orjson
from ruamel.yaml import YAML
from ruamel.yaml.constructor import SafeConstructor
from ruamel.yaml.error import YAMLError

from interlock.model.errors import Rejected

_NODES_MAX = 200_000
_OCTAL = re.compile(r"0[0-7]+")


class _Constructor(SafeConstructor):
    """YAML 1.2, but `0644` is octal as `kubectl` reads it: it is a file's mode."""

    def construct_yaml_int(self, node: Any) -> int:
        text = self.construct_scalar(node)
        return int(text, 8) if _OCTAL.fullmatch(text) else int(super().construct_yaml_int(node))


_Constructor.add_constructor("tag:yaml.org,2002:int", _Constructor.construct_yaml_int)


def read_yaml(text: str, *, field: str, tell: bool = True) -> list[Any]:
    """The documents of a YAML text, as JSON values.

    Takes: `tell` False where no word of the text may be repeated.
    Fails: `Rejected` for what is no YAML, and for a small text that names a huge value.
    """
    yaml = YAML(typ="safe", pure=True)
    yaml.Constructor = _Constructor
    try:
        documents = list(yaml.load_all(io.StringIO(text)))
        _refuse_bomb(documents, field=field)
        read: list[Any] = orjson.loads(orjson.dumps(documents, default=str, option=orjson.OPT_NON_STR_KEYS))
    except (YAMLError, ValueError, RecursionError, TypeError) as broken:
        line = getattr(getattr(broken, "problem_mark", None), "line", None)
        said = " ".join(str(broken).split()) if tell else "" if line is None else f"line {line + 1}"
        raise Rejected(f"{field}: it is no YAML{': ' + said if said else ''}.") from None
    return read


def _refuse_bomb(documents: list[Any], *, field: str) -> None:
    """An anchor that stands for an anchor that stands for …: count what it would become before it does."""
    open_ones, count = list(documents), 0
    while open_ones:
        one = open_ones.pop()
        count += 1
        if count > _NODES_MAX:
            raise Rejected(f"{field}: it stands for more than {_NODES_MAX} values.")
        if isinstance(one, Mapping):
            open_ones.extend(one.values())
        elif isinstance(one, list):
            open_ones.extend(one)
