"""What would there be for something that does not exist? Selectors asked about a thing that is only described.

Source: contract.md section e, "resource-preview".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from interlock.inventory.selector import Scope, Selector, parse_selector
from interlock.inventory.to_python import matches
from interlock.store.queries import Conn, queries

Q = queries("preview")


@dataclass(frozen=True, slots=True)
class Triple:
    """A system with a deployment and an environment in it, by their ids."""

    system_id: str
    deployment_id: str
    environment_id: str


async def list_triples_of(conn: Conn, workspace_id: str, *, resource: Mapping[str, Any]) -> tuple[Triple, ...]:
    """Where a resource of this view would become a target: system by system, by names.

    Costs: one query; one evaluation a selector, however many places use it.
    """
    rows = await conn.fetch(Q.list_triples, workspace_id)
    matched: dict[str, bool] = {}
    parsed: dict[str, Selector] = {}

    def picks(text: str) -> bool:
        if text not in matched:
            parsed[text] = parse_selector(text, Scope.RESOURCE)
            matched[text] = matches(parsed[text], {"resource": resource})
        return matched[text]

    return tuple(
        Triple(row["system_id"], row["deployment_id"], row["environment_id"])
        for row in rows
        if picks(row["deployment_selector"]) and picks(row["environment_selector"])
    )
