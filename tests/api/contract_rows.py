"""Which rows does the contract page have, and which test stands for each?

A row is what one client's command, resource, data source or action calls and insists on (sections a, b and c), one
contradiction between the reference's document and its server (section e), or one line of the strictness summary. A test
says which row it stands for by `@stands_for(...)`; a house test finds rows without a test, and tests for no row.

Source: contract.md.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T", bound=Callable[..., object])

SYNC_SOURCES = (
    "aws ec2",
    "aws eks",
    "aws rds",
    "aws networks",
    "azure aks",
    "azure networks",
    "google-cloud gke",
    "google-cloud vms",
    "google-cloud cloudsql",
    "google-cloud redis",
    "google-cloud bigtable",
    "google-cloud buckets",
    "google-cloud secrets",
    "google-cloud networks",
    "google-cloud cloudrun",
    "google-cloud projects",
    "kubernetes",
    "vcluster",
    "helm",
    "terraform",
    "tailscale",
    "clickhouse",
    "github pull-requests",
    "salesforce accounts",
    "salesforce opportunities",
    "netbox devices",
    "netbox vms",
    "netbox ip-addresses",
    "netbox prefixes",
    "netbox sites",
    "netbox clusters",
    "pipe",
)

CTRLC = (
    "api upsert version",
    "api plan version",
    "api get resources",
    "api get release",
    "api get release-targets",
    "apply",
    "get resource",
    "get resources",
    "delete resource",
    "ui",
    *(f"sync {source}" for source in SYNC_SOURCES),
)
"""Section b. `version`, `config set` and `run` call nothing; `agent run` dials what no server serves."""

TERRAFORM = (
    "system",
    "environment",
    "deployment",
    "deployment (up to v1.9)",
    "job_agent",
    "deployment_system_link",
    "environment_system_link",
    "policy",
    "deployment_variable",
    "deployment_variable_value",
    "resource_provider",
    "resource",
    "relationship_rule",
    "variable_set",
    "workflow",
    "data environment",
    "data deployment",
)
"""Section c."""

ACTIONS = ("get-job-inputs",)
"""Section a. `cli@main` calls nothing; `actions/get-resource` runs a command that is gone."""

ACCESS = (
    "base url",
    "header X-API-Key",
    "header Authorization",
    "no key",
    "unauthenticated paths",
    "slug for a workspace id",
    "nil workspace",
)
"""Section a, "Server side" and the workspace lookups."""

CONTRADICTIONS = (
    "DELETE resource by identifier",
    "PUT relationship-rule",
    "DELETE relationship-rule",
    "GET jobs",
    "PATCH deploymentversions/{id}",
    "GET resources/{identifier}/release-targets/deployment/{id}",
    "GET name/{name}/resources",
    "POST versions",
    "error body",
    "job agent metadata, provider metadata, provider id",
    "policy rollback rule",
)
"""Section e, where the running server contradicts its own document."""

STRICTNESS = (
    "in: extra fields",
    "in: null config and metadata",
    "in: an empty id",
    "in: year-1 dates",
    "in: integers and booleans in variable values",
    "in: slug for workspace",
    "in: unknown query parameters",
    "out: status codes",
    "out: JSON content type",
    "out: RFC 3339 with zone",
    "out: string-only metadata",
    "out: echoed rule ids",
    "out: list order",
    "out: absent rather than null",
)
"""Section e, the strictness summary."""

ROWS: tuple[str, ...] = (
    *(f"ctrlc {row}" for row in CTRLC),
    *(f"terraform {row}" for row in TERRAFORM),
    *(f"action {row}" for row in ACTIONS),
    *(f"access {row}" for row in ACCESS),
    *(f"contradiction {row}" for row in CONTRADICTIONS),
    *(f"strictness {row}" for row in STRICTNESS),
)


def stands_for(*rows: str) -> Callable[[T], T]:
    """Says which rows of the page a test stands for."""
    unknown = set(rows) - set(ROWS)
    assert not unknown, f"The page has no such row: {sorted(unknown)}"

    def mark(test: T) -> T:
        return test

    return mark
