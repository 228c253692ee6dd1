"""Which constraint of the database is which refusal on the wire? One table.

A duplicate name is found by the unique index, not by looking first: two requests at once would both find nothing. The
constraint's name says what clashed.

Source: contract.md section e, "Errors" (`DUPLICATE_NAME`, `DUPLICATE_SLUG`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg

from interlock.model.errors import Conflict, InterlockError, Invalid, NotFound

_CLASHES = {
    "workspace_slug_key": ("DUPLICATE_SLUG", "A workspace with this slug exists."),
    "workflow_slug": ("DUPLICATE_SLUG", "A workflow with this slug exists in the workspace."),
    "environment_name": ("DUPLICATE_NAME", "An environment with this name exists in the workspace."),
    "deployment_name": ("DUPLICATE_NAME", "A deployment with this name exists in the workspace."),
    "deployment_variable_key": ("DUPLICATE_KEY", "A variable with this key exists in the deployment."),
    "job_agent_name": ("DUPLICATE_NAME", "A job agent with this name exists in the workspace."),
    "resource_provider_workspace_id_name_key": (
        "DUPLICATE_NAME",
        "A resource provider with this name exists in the workspace.",
    ),
    "resource_identifier": ("DUPLICATE_IDENTIFIER", "A resource with this identifier exists in the workspace."),
    "version_deployment_id_tag_key": ("DUPLICATE_TAG", "A version with this tag exists in the deployment."),
    "principal_group_workspace_id_name_key": ("DUPLICATE_NAME", "A group with this name exists in the workspace."),
    "slo_workspace_id_name_key": ("DUPLICATE_NAME", "An objective with this name exists in the workspace."),
    "principal_name_key": ("DUPLICATE_NAME", "A user with this name exists."),
    "api_key_prefix_key": ("DUPLICATE_KEY", "An API key with this prefix exists."),
}


def refusal_of(error: asyncpg.PostgresError) -> InterlockError | None:
    """The refusal that this error of the database stands for; None when it stands for none."""
    match error:
        case asyncpg.UniqueViolationError():
            name = str(getattr(error, "constraint_name", "") or "")
            code, message = _CLASHES.get(name, ("CONFLICT", "It clashes with something that is stored already."))
            return Conflict(message, code=code)
        case asyncpg.ForeignKeyViolationError():
            return NotFound("Something that the request names does not exist.")
        case asyncpg.CharacterNotInRepertoireError() | asyncpg.UntranslatableCharacterError():
            return Invalid("A text in the request cannot be stored.")
        case _:
            return None


@contextmanager
def refusals() -> Iterator[None]:
    """Turn a violated constraint into the refusal that it stands for; keep the cause."""
    try:
        yield
    except asyncpg.PostgresError as cause:
        refusal = refusal_of(cause)
        if refusal is None:
            raise
        raise refusal from cause
