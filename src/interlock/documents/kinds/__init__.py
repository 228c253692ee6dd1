"""Which kinds of document are there? One file per kind; this file lists them.

The order is that of writing, whatever the order in the files: what is named stands before what names it, and a policy
stands before anything that it could govern. Ending goes the other way round.

To add one: copy `system.py`, keep its shape, add it to KINDS and its first path segment to NOUNS in `api/apply.py`.
"""

from __future__ import annotations

from collections.abc import Mapping

from interlock.documents.kind import Kind
from interlock.documents.kinds import (
    deployment,
    environment,
    freeze,
    group,
    job_agent,
    policy,
    relationship_rule,
    resource,
    resource_provider,
    role,
    slo,
    subscription,
    system,
    variable_set,
    workflow,
)

KINDS: tuple[Kind, ...] = (
    role.KIND,
    group.KIND,
    system.KIND,
    job_agent.KIND,
    policy.KIND,
    relationship_rule.KIND,
    variable_set.KIND,
    resource_provider.KIND,
    resource.KIND,
    environment.KIND,
    deployment.KIND,
    workflow.KIND,
    slo.KIND,
    freeze.KIND,
    subscription.KIND,
)

KIND_BY_NAME: Mapping[str, Kind] = {kind.name: kind for kind in KINDS}
