"""Who is somebody by the word of an identity provider, and what was asked of it?

Source: OpenID Connect Core 1.0, sections 2 and 3.1.2.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Identity:
    """Who somebody is, by the word of a provider. `groups` are the names in the claim that was set."""

    issuer: str
    subject: str
    email: str | None
    email_verified: bool
    username: str | None
    groups: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Asked:
    """One sign-in under way: what the browser must bring back, and what the token must repeat."""

    state: str
    nonce: str
    verifier: str
    redirect_uri: str
