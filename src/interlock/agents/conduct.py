"""How is the conduct of an agent shown beside its own keys? As the same kind of table, once for all agents.

What the keys mean for a job stands in `model/conduct.py`, where they are read and checked; `flow.py` goes by them. An
agent's `check_config` never sees them, unless it lists one of them among its own.

Source: core.md section 5.
"""

from __future__ import annotations

from interlock.agents.keys import Flag, Key, Number, table_of
from interlock.model.conduct import KEYS, ConductKey


def _key(name: str, key: ConductKey) -> Key:
    shape = Flag() if key.lowest is None or key.highest is None else Number(key.lowest, key.highest, whole=key.whole)
    about = f"{key.about}. On the agent alone" if key.wide else key.about
    return Key(name, shape, about, shown_default=key.default)


CONDUCT = tuple(_key(name, key) for name, key in KEYS.items())
"""Every key of the conduct, as an agent would list it."""


def conduct_page() -> str:
    """What the docs say of these keys, once."""
    return (
        "## Keys of every agent\n\n"
        "These may stand in any agent's config. They are Interlock's: the agent does not read them, a change is no\n"
        "reason to deploy again, and it holds at once, for jobs under way too. Unless it says *on the agent alone*, a\n"
        "key may also stand in a deployment's and in a version's config, the later over the earlier.\n\n"
        + table_of(CONDUCT)
        + "\n\nAn agent that does not answer `breakerFailures` calls in a row is *down*: its jobs wait, none of their\n"
        "retries is used, and one job after the other tries whether it is back, after 1 s at first, then twice as\n"
        "long each time, up to `breakerPauseSeconds`. One answer, whatever it says, and all of them go on.\n"
    )
