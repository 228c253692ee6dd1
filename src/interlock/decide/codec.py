"""How are a round's facts written down, so that they can be read and decided again?

As canonical JSON (RFC 8785) in named shards: 256 targets a shard, each with its moves, its history and its latest decision, and one shard for
each other fact kind. So a round that changed a little adds a little to a content-addressed store.

A value is written field by field under its names, and read back by the types that its dataclass declares. A rule is
written as the client wrote it and parsed again, so that a replay reads it exactly as the round did.

Order carries no meaning in facts (core.md section 9, law 3); what comes back is in the order of `canonical`.

Source: core.md section 6.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from datetime import datetime
from enum import Enum
from functools import lru_cache
from itertools import batched as _batched  # type: ignore[attr-defined]
