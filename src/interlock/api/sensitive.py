"""How does a sensitive variable look to this caller? In full for who may write it, else as its mark.

In full it is the value as it was written, with `sensitive: true` beside it. Else it is `{"valueHash": mark}`, the
contract's form. A key that was declared by that form has it for everybody: its client keeps the value to itself, and
would see a change that nobody made.

Source: issue 4, "One rule of reading"; contract.json, `SensitiveValue`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from interlock.access import WORKSPACE, Permission, Place, allowed
from interlock.api.rendering import Wire
from interlock.model.secret import ids_in, is_marker, mark
from interlock.model.variable import literal_wire
from interlock.web.sign_in import Here


async def shown_values(
    here: Here, items: Sequence[Wire], permission: Permission, *, place: Place = WORKSPACE
) -> list[Wire]:
    """Rendered things with a `value`, as this caller may see them.

    Takes: `permission` is what a write of them asks for.
    Fails: `KeyMissing`.
    """
    values: dict[str, Any] = {}
    wanted = {each for item in items for each in ids_in(item["value"])}
    if wanted and allowed(here.caller, permission, place=place):
        async with here.read() as conn:
            values = await here.store.secrets.open(conn, here.id, wanted)
    return [_shown(item, values) for item in items]


def _shown(item: Wire, values: dict[str, Any]) -> Wire:
    value = item["value"]
    kept = {name: each for name, each in item.items() if name != "declared"}
    if not is_marker(value):
        return kept
    secret_id = next(ids_in(value))
    if secret_id in values and "declared" not in item:
        return {**kept, "value": literal_wire(values[secret_id]), "sensitive": True}
    return {**kept, "value": {"valueHash": mark(secret_id) if secret_id else ""}, "sensitive": True}
