"""Which settings does a process have, and what are their defaults? One place, all with units.

Every setting can be given as an environment variable `INTERLOCK_<NAME>`. The CLI's flags override them. Nothing else
in the code reads the environment (but `client/`, which the CLI uses and which must stay cheap to import).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """What `app.py` wires from. Durations end in `_s`, limits in `_max`."""

    model_config = SettingsConfigDict(env_prefix="INTERLOCK_", extra="ignore", frozen=True)

    host: str = "127.0.0.1"
    port: int = Field(default=8080, ge=0, le=65535)
    data: Path = Path(".interlock")
    database_url: str | None = Field(default=None, repr=False)
    postgres_bin: Path | None = None
    """The directory of the PostgreSQL to run, in place of the one that comes with Interlock."""

    secret_keys: str | None = Field(default=None, repr=False)
    """The keys that seal secrets, with commas between them, the newest first. Else those of `<data>/secret.keys`."""

    reference_files: Path | None = None
    """The folder with one folder a workspace, from which `secretRef` may read files. None: it reads none."""
    vault_addr: str | None = None
    vault_token: str | None = Field(default=None, repr=False)
    vault_token_file: Path | None = None
    """A file that holds the token, read anew before each call."""
    vault_namespace: str | None = None
    vault_mount: str = "secret"
    """The path of the KV version 2 engine."""
    vault_prefix: str = "interlock"
    """Below it each workspace has a path of its slug's name."""

    bootstrap_api_key: str | None = Field(default=None, repr=False)
    bootstrap_workspace: str | None = None

    exec_agent: bool = False
    """Whether jobs may run commands on this machine (the `exec` agent). Off unless asked for."""

    kubernetes_in_cluster: bool = False
    """Whether jobs (agent `kubernetes`) may use the service account of Interlock's own pod. Off unless asked for."""

    required_agents: str = ""
    """Types of job agents that must be there, commas between: a process without one does not start. An agent of
    another package that cannot be loaded is left out otherwise."""

    github_app_id: str | None = None
    """The GitHub App that agents of the type `github-app` sign in as, where their config names none."""
    github_app_key_file: Path | None = None
    """A file with its private key (PEM)."""
    github_webhook_secret: str | None = Field(default=None, repr=False)
    """What GitHub signs its webhooks with (`/api/github/webhook`), beside the `webhookSecret` of an agent's config.
    Several, with commas between them, while one is being changed."""
    tfe_webhook_secret: str | None = Field(default=None, repr=False)
    """The same for Terraform Cloud's notifications (`/api/tfe/webhook`)."""

    allow_private_addresses: bool = False
    """Whether what a user aims (HTTP metrics, webhooks) may call loopback and private addresses."""
    allow_metadata_addresses: bool = False
    """Whether it may call link-local addresses and those where a cloud hands out this machine's credentials."""

    public_url: str | None = None
    """Where people find the console (`https://interlock.example.org`): links in messages begin so, and the addresses
    at which tools call back. Unset: where we listen."""

    smtp_host: str | None = None
    """The mail server. Unset: no letters are sent."""
    smtp_port: int = Field(default=587, ge=1, le=65535)
    smtp_tls: Literal["starttls", "tls", "none"] = "starttls"
    smtp_user: str | None = None
    smtp_password: str | None = Field(default=None, repr=False)
    smtp_from: str = "interlock@localhost"
    smtp_ca_file: Path | None = None
    """Whom to trust besides the system's authorities."""
    smtp_timeout_s: float = 15.0

    delivery_slots: int = Field(default=32, ge=1)
    """How many receivers of subscriptions are called at once."""
    subscription_failing_days: int = Field(default=5, ge=1)
    """A receiver that failed for so many days is not called any more, until somebody resumes its subscription."""

    oidc_issuer: str | None = None
    """The identity provider whose people sign in here; without one they sign in with keys."""
    oidc_client_id: str = "interlock"
    oidc_client_secret: str | None = Field(default=None, repr=False)
    oidc_scopes: str = "openid email profile"
    oidc_groups_claim: str = "groups"
    oidc_domains: str = ""
    """Whose addresses may sign in, commas between; empty: everybody whom the provider lets in."""
    oidc_admins: str = ""
    """Who administers this installation: addresses, or `group:<name>`, commas between."""
    oidc_name: str = "single sign-on"
    """What the button says after "Sign in with"."""
    login_key_days: int = Field(default=7, ge=1, le=365)
    """How long a key lasts that `interlock login` gets."""

    body_bytes_max: int = 4 * 1024 * 1024
    set_bytes_max: int = 64 * 1024 * 1024
    """The largest body of a resource provider's `set`, which sends everything that it offers: about 400,000 hosts."""
    sync_remove_max: int = Field(default=100, ge=0)
    """A provider's set that would remove more than this, and more than half of what the provider offers, is refused
    unless the client says that it means it. A workspace may have its own number."""

    rate_per_s: float = Field(default=100.0, ge=0)
    """Requests a second of one key or session, in one API process; 0: as many as it likes. A user gets four times as
    much over all keys."""
    rate_burst: int = Field(default=1_000, ge=1)
    """How many of them may come at once."""
    stranger_rate_per_s: float = Field(default=20.0, ge=0)
    """Requests a second without a valid key, of one address; 0: no limit."""
    stranger_burst: int = Field(default=200, ge=1)
    sign_in_rate_per_s: float = Field(default=0.5, ge=0)
    """Sign-ins a second from one address; 0: no limit."""
    sign_in_burst: int = Field(default=20, ge=1)
    streams_max: int = Field(default=20, ge=1)
    """Event streams that one key or session may hold open, in one API process."""
    trusted_proxies: str = "127.0.0.1"
    """Addresses of proxies, with commas between them, whose word for the client's address counts
    (`X-Forwarded-For`). `*`: any."""

    pool_max: int = 10
    worker_slots: int = 16
    call_slots: int = Field(default=64, ge=1)
    """How many hand-overs, and how many looks at runs, a worker has under way at once."""
    agent_slots: int = Field(default=8, ge=1)
    """The most of these that one agent may have: so that a slow one keeps no other waiting."""

    metric_slots: int = Field(default=240, ge=1)
    """How many measurements a worker has under way at once. One server that is asked may have a third of them."""

    work_lease_s: float = 15.0
    work_poll_s: float = 1.0
    work_attempts_max: int = 12
    round_gap_s: float = 0.05
    sweep_every_s: float = 3600.0
    blob_days: int = 90
    measurement_days: int = 30
    what_if_targets_max: int = Field(default=50_000, ge=1)
    """How many targets one question about policies decides; it says how many it left out."""


def outside_values(prefix: str) -> dict[str, str]:
    """The variables of the environment that an operator set apart for references (`outside/references.py`)."""
    return {name: value for name, value in os.environ.items() if name.startswith(prefix)}
