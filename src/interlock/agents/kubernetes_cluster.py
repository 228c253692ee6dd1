"""How is a cluster's API called, and what does each of its answers mean?

Five calls are enough: which kinds there are, read, apply on the server's side, delete, and list pods. They go through
the one guarded client (`outside/http.py`), with the cluster's own authority and, where a kubeconfig says so, a
certificate of the caller.

    404                  None, where a thing may be missing
    409 with owners      `Contested`: which field, and who owns it
    409 otherwise        `Clash`: somebody was faster
    the rest             as `agents/rest.py` says

What the server says about a Secret may repeat a part of it, so of such an answer only reason and fields are told.

Source: Kubernetes API concepts (verbs, server-side apply, dry run, Status); decision record 0032 says why no SDK.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from interlock.agents.kubernetes_manifests import Ref
from interlock.agents.rest import Answered, Clash, Tool, part
from interlock.model.errors import AgentUnavailable, Rejected, Unavailable
from interlock.outside.http import Http
from interlock.outside.kubernetes_access import Access, trust_of

APPLY = "application/apply-patch+yaml"
"""The body is JSON, which is YAML."""
PODS_MAX = 500
CONFLICTS_TOLD_MAX = 5


class Contested(Answered):
    """Somebody else owns a field that the manifest sets."""


class Gone(Answered):
    """The namespace or kind that an object needs is not there."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind as the server has it."""

    plural: str
    namespaced: bool


@dataclass(slots=True)
class Cluster:
    """One cluster, for the length of one verb."""

    tool: Tool
    access: Access
    kinds: dict[str, dict[str, Kind]] = field(default_factory=dict)
    asking: dict[str, asyncio.Lock] = field(default_factory=dict)

    async def kind(self, ref: Ref) -> Kind | None:
        """The kind of an object; None where the server has none of that name."""
        async with self.asking.setdefault(ref.api_version, asyncio.Lock()):
            if ref.api_version not in self.kinds:
                found = await self._call("GET", _root(ref.api_version), may_miss=True)
                self.kinds[ref.api_version] = _kinds(found)
        return self.kinds[ref.api_version].get(ref.kind)

    async def read(self, ref: Ref, plural: str) -> dict[str, Any] | None:
        """An object as it is now; None where there is none."""
        found = await self._call("GET", path_of(ref, plural), about=ref, may_miss=True)
        return found if isinstance(found, dict) else None

    async def apply(
        self, manifest: Mapping[str, Any], ref: Ref, plural: str, *, manager: str, force: bool, dry_run: bool = False
    ) -> dict[str, Any]:
        """Apply on the server's side, and give the object as it is (or would be) then.

        Fails: `Contested`, `Gone`, and as the module says.
        """
        query = {"fieldManager": manager, "force": force, "dryRun": "All" if dry_run else None}
        try:
            found = await self._call(
                "PATCH", path_of(ref, plural), query=query, body=manifest, content_type=APPLY, about=ref
            )
        except Clash as clash:
            causes = _causes(clash.body)
            if not any(cause.get("reason") == "FieldManagerConflict" for cause in causes):
                raise
            raise Contested(f"{ref}: {_owners(causes)}", status=409, body=clash.body) from None
        except Answered as no:
            if no.status == 404:
                raise Gone(no.message, status=404, body=no.body) from None
            raise
        if not isinstance(found, dict) or not isinstance(found.get("metadata"), dict):
            raise AgentUnavailable(f"Kubernetes answered with what is no {ref.kind}.")
        return found

    async def create(self, manifest: Mapping[str, Any], ref: Ref, plural: str) -> dict[str, Any]:
        """Make an object that is not there yet. Fails: `Clash` where it is."""
        path = path_of(ref, plural).rpartition("/")[0]
        found: dict[str, Any] = await self._call("POST", path, body=manifest, about=ref)
        return found

    async def replace(self, manifest: Mapping[str, Any], ref: Ref, plural: str) -> dict[str, Any]:
        """Replace an object that still has the resourceVersion of the manifest. Fails: `Clash` where it has not."""
        found: dict[str, Any] = await self._call("PUT", path_of(ref, plural), body=manifest, about=ref)
        return found

    async def delete(self, ref: Ref, plural: str, *, uid: str, foreground: bool = False) -> bool:
        """Delete the very object that has this uid; False where it is not there any more, or is another.

        Takes: `foreground` lets it be there until what it made is gone.
        """
        body = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "propagationPolicy": "Foreground" if foreground else "Background",
            "preconditions": {"uid": uid},
        }
        try:
            found = await self._call("DELETE", path_of(ref, plural), body=body, about=ref, may_miss=True)
        except Clash:
            return False
        return found is not None

    async def pods(self, namespace: str, selector: str) -> list[dict[str, Any]]:
        """The pods that a selector picks, as far as one page goes; none where the account may not list them."""
        query = {"labelSelector": selector, "limit": PODS_MAX}
        try:
            found = await self._call("GET", f"/api/v1/namespaces/{part(namespace)}/pods", query=query, may_miss=True)
        except Answered as no:
            if no.status == 403:
                return []
            raise
        items = found.get("items") if isinstance(found, Mapping) else None
        return [one for one in items if isinstance(one, dict)] if isinstance(items, list) else []

    async def log(self, namespace: str, pod: str, container: str, *, lines: int, bytes_max: int) -> str:
        """The last lines of a container; "" where they cannot be had: nothing depends on them."""
        query = {"container": container, "tailLines": lines, "limitBytes": bytes_max}
        url = f"{self.tool.base_url}/api/v1/namespaces/{part(namespace)}/pods/{part(pod)}/log?{urlencode(query)}"
        try:
            answer = await self.tool.http.send(
                "GET", url, headers=self.tool.headers, timeout_s=self.tool.timeout_s, answer_bytes_max=bytes_max
            )
        except (Unavailable, Rejected):
            return ""
        return answer.text if answer.status == 200 else ""

    async def _call(self, method: str, path: str, *, about: Ref | None = None, **how: Any) -> Any:
        try:
            return await self.tool.call(method, path, **how)
        except Answered as no:
            said = f"{about}: {no.message}" if about else no.message
            if about is not None and about.kind == "Secret":
                said = f"{about}: {_without_words(no)}"
            raise type(no)(self._hidden(said), status=no.status, body=no.body) from None
        except Rejected as no:
            raise Rejected(self._hidden(no.message)) from None
        except AgentUnavailable as away:
            secret = about is not None and about.kind == "Secret"
            said = away.message.partition(":")[0] if secret else away.message
            raise AgentUnavailable(self._hidden(said), retry_after_s=away.retry_after_s) from None

    def _hidden(self, text: str) -> str:
        for secret in self.access.secrets:
            text = text.replace(secret, "••••")
        return text


@asynccontextmanager
async def reached(http: Http, access: Access, *, timeout_s: float) -> AsyncIterator[Cluster]:
    """A cluster's API, with its own trust, behind the guard of `http`.

    Why:   one client a verb where trust is the cluster's own: its connections end with it.
    """
    wrong = None if access.own else http.check_url(access.server)
    if wrong is not None:
        raise Rejected(wrong)
    trust = trust_of(access)
    if trust is None and not access.own:
        yield Cluster(Tool(http, "Kubernetes", access.server, access.headers, timeout_s), access)
        return
    async with http.trusting(trust, private=access.own) as own:
        yield Cluster(Tool(own, "Kubernetes", access.server, access.headers, timeout_s), access)


def path_of(ref: Ref, plural: str) -> str:
    """An object's address."""
    place = f"/namespaces/{part(ref.namespace)}" if ref.namespace else ""
    return f"{_root(ref.api_version)}{place}/{part(plural)}/{part(ref.name)}"


def _root(api_version: str) -> str:
    group, slash, version = api_version.partition("/")
    return f"/apis/{part(group)}/{part(version)}" if slash else f"/api/{part(group)}"


def _kinds(found: Any) -> dict[str, Kind]:
    """An APIResourceList by kind; what has a slash in its name is a part of another."""
    resources = found.get("resources") if isinstance(found, Mapping) else None
    return {
        str(one["kind"]): Kind(str(one["name"]), one.get("namespaced") is True)
        for one in (resources if isinstance(resources, list) else ())
        if isinstance(one, Mapping) and str(one.get("name", "")).isalnum() and "kind" in one
    }


def _causes(body: Any) -> list[Mapping[str, Any]]:
    details = body.get("details") if isinstance(body, Mapping) else None
    causes = details.get("causes") if isinstance(details, Mapping) else None
    return [one for one in causes if isinstance(one, Mapping)] if isinstance(causes, list) else []


def _owners(causes: list[Mapping[str, Any]]) -> str:
    """`.spec.replicas is owned by kubectl using apps/v1`, for the first few."""
    told = [
        f"{cause.get('field') or 'a field'} is owned by "
        + str(cause.get("message") or "another manager").removeprefix("conflict with ").replace('"', "")
        for cause in causes
    ]
    more = f" and {len(told) - CONFLICTS_TOLD_MAX} more" if len(told) > CONFLICTS_TOLD_MAX else ""
    return (
        "; ".join(told[:CONFLICTS_TOLD_MAX])
        + more
        + ". Leave the field out of the template, or set forceConflicts: true to take it over."
    )


def _without_words(no: Answered) -> str:
    """A refusal without what it may repeat: reason and fields."""
    reason = no.body.get("reason") if isinstance(no.body, Mapping) else None
    fields = ", ".join(sorted({str(cause.get("field")) for cause in _causes(no.body) if cause.get("field")}))
    return f"Kubernetes said no ({no.status}{f', {reason}' if reason else ''}){f' to {fields}' if fields else ''}."
