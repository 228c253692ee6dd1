"""A Kubernetes API server that is faithful in what a client of it relies on, with the controllers that make things go.

    server-side apply   fields have owners (managedFields); another's field with another value is a 409 with causes,
                        unless forced; a field that its only owner leaves out goes; dry run changes nothing
    server-side apply   fields have owners (managedFields); another's field with another value is a 409 with its
                        not change, 404 for a namespace or kind that is not there; preconditions of a deletion
    discovery, watch    /api, /apis, a list of kinds a group; a watch gives what happened since its resourceVersion
    controllers         at each read a workload goes on by one step; its annotation `interlock-test/outcome` says how:
                        quick (default), slow (never ready), stuck (its progress deadline passes), fail (a pod does)

What it answers follows the published API (Kubernetes 1.30's OpenAPI document; "Server-Side Apply", "Kubernetes API
Concepts"); `test_kubernetes_shapes.py` reads it through the models that lightkube makes from that document.

    python -m tests.agents.kubernetes_server      prints a kubeconfig, and serves until it is ended
"""

from __future__ import annotations

import argparse
import asyncio
import copy
import hashlib
import re
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import orjson

from .stub_server import Answer, Call, StubServer, serving

OUTCOME = "interlock-test/outcome"

# apiVersion -> kind -> (plural, namespaced)
BUILT_IN: Mapping[str, Mapping[str, tuple[str, bool]]] = {
    "v1": {
        "Namespace": ("namespaces", False),
        "Pod": ("pods", True),
        "Service": ("services", True),
        "ConfigMap": ("configmaps", True),
        "Secret": ("secrets", True),
        "ServiceAccount": ("serviceaccounts", True),
        "PersistentVolumeClaim": ("persistentvolumeclaims", True),
    },
    "apps/v1": {
        "Deployment": ("deployments", True),
        "StatefulSet": ("statefulsets", True),
        "DaemonSet": ("daemonsets", True),
        "ReplicaSet": ("replicasets", True),
    },
    "batch/v1": {"Job": ("jobs", True), "CronJob": ("cronjobs", True)},
    "networking.k8s.io/v1": {"Ingress": ("ingresses", True), "NetworkPolicy": ("networkpolicies", True)},
    "rbac.authorization.k8s.io/v1": {"Role": ("roles", True), "ClusterRole": ("clusterroles", False)},
    "apiextensions.k8s.io/v1": {"CustomResourceDefinition": ("customresourcedefinitions", False)},
}
WORKLOADS = frozenset({"Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job"})
_LABEL = re.compile(r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?")
_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?")
_REASONS = {
    400: "BadRequest",
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    409: "Conflict",
    415: "UnsupportedMediaType",
    422: "Invalid",
}
_SERVER_ONLY = frozenset(
    {"managedFields", "resourceVersion", "uid", "generation", "creationTimestamp", "name", "namespace"}
)

Path = tuple[str, ...]
"""`("spec", "template", 'k:{"name":"web"}', "image")`: how managed fields name a field."""


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def status(code: int, message: str, *, reason: str | None = None, **details: Any) -> Answer:
    body: dict[str, Any] = {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message,
        "reason": reason or _REASONS.get(code, "Unknown"),
        "code": code,
    }
    return code, {**body, "details": details} if details else body


class Refusal(Exception):
    """Answered as a Status."""

    def __init__(self, code: int, message: str, *, reason: str | None = None, **details: Any) -> None:
        super().__init__(message)
        self.answer = status(code, message, reason=reason, **details)


@dataclass
class KubernetesServer(StubServer):
    """`worked` counts what was really set to work: Jobs made, and changes of a workload's specification."""

    token: str = "kube-token"
    authority: str = ""
    kinds: dict[str, dict[str, tuple[str, bool]]] = field(default_factory=lambda: copy.deepcopy(dict(BUILT_IN)))
    objects: dict[tuple[str, str, str, str], dict[str, Any]] = field(default_factory=dict)
    events: list[tuple[int, str, dict[str, Any]]] = field(default_factory=list)
    forbidden: set[tuple[str, str]] = field(default_factory=set)
    logs: dict[str, str] = field(default_factory=dict)
    applied: list[str] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    peers: list[Any] = field(default_factory=list)
    version: int = 100
    worked: int = 0

    def __post_init__(self) -> None:
        for name in ("default", "kube-system", "shop"):
            self.put({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
            self.on(method, r"/(api|apis)(/.*)?", self.signed_in)

    # --- what a test sees and does ------------------------------------------------------------------------------------

    def kubeconfig(self, **user: Any) -> str:
        """A kubeconfig of this server."""
        cluster: dict[str, Any] = {"server": self.url}
        if self.authority:
            cluster["certificate-authority-data"] = self.authority
        return orjson.dumps(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "current-context": "here",
                "clusters": [{"name": "here", "cluster": cluster}],
                "users": [{"name": "interlock", "user": user or {"token": self.token}}],
                "contexts": [
                    {"name": "here", "context": {"cluster": "here", "user": "interlock", "namespace": "shop"}}
                ],
            }
        ).decode()

    def find(self, kind: str, name: str, namespace: str = "shop") -> dict[str, Any] | None:
        """An object as it is, without a step of its controller."""
        return next(
            (
                one
                for (_, _, where, what), one in self.objects.items()
                if one["kind"] == kind and what == name and where in {namespace, ""}
            ),
            None,
        )

    def get(self, kind: str, name: str, namespace: str = "shop") -> dict[str, Any]:
        found = self.find(kind, name, namespace)
        assert found is not None, f"no {kind} {namespace}/{name}"
        return found

    def names(self, kind: str) -> list[str]:
        return [one["metadata"]["name"] for one in self.objects.values() if one["kind"] == kind]

    def put(self, one: dict[str, Any], *, manager: str = "kubectl-edit") -> dict[str, Any]:
        """Write an object as somebody else would."""
        one = copy.deepcopy(one)
        plural, namespaced = self.kinds[one["apiVersion"]][one["kind"]]
        if namespaced:
            one["metadata"].setdefault("namespace", "shop")
        key = (one["apiVersion"], plural, one["metadata"].get("namespace", ""), one["metadata"]["name"])
        self._own(one, manager, "Update", fields_of(one), before=self.objects.get(key))
        self._store(key, one)
        return self.objects[key]

    def touch(self, kind: str, name: str, path: str, value: Any, *, manager: str = "kubectl-edit") -> None:
        """Somebody else sets one field: `spec.replicas`."""
        live = copy.deepcopy(self.get(kind, name))
        *parents, last = path.split(".")
        at = live
        for parent in parents:
            at = at.setdefault(parent, {})
        at[last] = value
        made = {
            "metadata": {"name": name, "namespace": live["metadata"].get("namespace")},
            "apiVersion": live["apiVersion"],
            "kind": kind,
        }
        leaf: dict[str, Any] = {last: value}
        for parent in reversed(parents):
            leaf = {parent: leaf}
        self._own(live, manager, "Update", fields_of({**made, **leaf}), before=self.get(kind, name), take=True)
        key = next(key for key, one in self.objects.items() if one["kind"] == kind and key[3] == name)
        self._store(key, live)

    def say(self, kind: str, name: str, **said: Any) -> None:
        """A controller writes the object's status."""
        live = self.get(kind, name)
        live["status"] = {**live.get("status", {}), **said}
        self._bump(live, "MODIFIED")

    def remove(self, kind: str, name: str) -> None:
        """Somebody deletes an object."""
        for key, one in list(self.objects.items()):
            if one["kind"] == kind and key[3] == name:
                self._gone(key)

    # --- requests -----------------------------------------------------------------------------------------------------

    def signed_in(self, call: Call) -> Answer:
        if call.headers.get("authorization") != f"Bearer {self.token}":
            return status(401, "Unauthorized")
        try:
            return self.answer(call)
        except Refusal as refused:
            return refused.answer

    def answer(self, call: Call) -> Answer:
        parts = [part for part in call.path.split("/") if part]
        found = self._discovery(parts)
        if found is not None:
            return found
        version, rest = (parts[1], parts[2:]) if parts[0] == "api" else ("/".join(parts[1:3]), parts[3:])
        if version not in self.kinds:
            return 404, {"message": "404 page not found"}
        if not rest:
            return 200, self._resources(version)
        namespace = ""
        if rest[0] == "namespaces" and len(rest) > 2:
            namespace, rest = rest[1], rest[2:]
        plural, name, sub = [*rest, "", ""][:3]
        kind = next((kind for kind, (known, _) in self.kinds[version].items() if known == plural), None)
        if kind is None:
            return 404, {"message": "404 page not found"}
        verb = {"GET": "get" if name else "list", "POST": "create", "PUT": "update", "PATCH": "patch"}.get(
            call.method, "delete"
        )
        if (verb, f"{plural}/{sub}" if sub else plural) in self.forbidden:
            said = f'{plural} "{name}" is forbidden: User "system:serviceaccount:shop:interlock" cannot {verb} resource'
            raise Refusal(403, said, name=name, kind=plural)
        key = (version, plural, namespace, name)
        if sub == "log":
            return 200, self.logs.get(name, "").encode()
        if sub:
            return 404, {"message": "404 page not found"}
        return {
            "get": self._get,
            "list": self._list,
            "create": self._create,
            "update": self._update,
            "patch": self._patch,
            "delete": self._delete,
        }[verb](call, kind, key)

    def _discovery(self, parts: list[str]) -> Answer | None:
        if parts == ["api"]:
            return 200, {"kind": "APIVersions", "versions": ["v1"]}
        if parts == ["apis"]:
            groups = [
                {
                    "name": version.partition("/")[0],
                    "versions": [{"groupVersion": version, "version": version.partition("/")[2]}],
                }
                for version in self.kinds
                if "/" in version
            ]
            return 200, {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}
        return None

    def _resources(self, version: str) -> dict[str, Any]:
        verbs = ["create", "delete", "get", "list", "patch", "update", "watch"]
        resources: list[dict[str, Any]] = []
        for kind, (plural, namespaced) in self.kinds[version].items():
            one = {"name": plural, "singularName": kind.lower(), "namespaced": namespaced, "kind": kind, "verbs": verbs}
            resources += [one, {**one, "name": f"{plural}/status", "verbs": ["get", "patch", "update"]}]
        return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": version, "resources": resources}

    def _get(self, call: Call, kind: str, key: tuple[str, str, str, str]) -> Answer:
        live = self._there(key)
        self._step(key, live)
        return 200, self._there(key)

    def _list(self, call: Call, kind: str, key: tuple[str, str, str, str]) -> Answer:
        version, plural, namespace, _ = key
        terms = [term.partition("=") for term in call.query.get("labelSelector", "").split(",") if term]

        def picked(one: Mapping[str, Any]) -> bool:
            labels = one["metadata"].get("labels", {})
            return all(labels.get(name) == value for name, _, value in terms)

        if call.query.get("watch") == "true":
            since = int(call.query.get("resourceVersion") or 0)
            lines = [
                orjson.dumps({"type": what, "object": one}) + b"\n"
                for at, what, one in self.events
                if at > since
                and one["kind"] == kind
                and namespace in {"", one["metadata"].get("namespace")}
                and picked(one)
            ]
            return 200, b"".join(lines)
        items = [
            one
            for (known, where, place, _), one in self.objects.items()
            if (known, where) == (version, plural) and namespace in {"", place} and picked(one)
        ]
        return 200, {
            "kind": f"{kind}List",
            "apiVersion": version,
            "metadata": {"resourceVersion": str(self.version)},
            "items": items,
        }

    def _create(self, call: Call, kind: str, key: tuple[str, str, str, str]) -> Answer:
        made = self._body(call, kind, key)
        key = (*key[:3], made["metadata"]["name"])
        if key in self.objects:
            raise Refusal(409, f'{key[1]} "{key[3]}" already exists', reason="AlreadyExists", name=key[3], kind=key[1])
        self._own(made, call.query.get("fieldManager", "unknown"), "Update", fields_of(made), before=None)
        self._store(key, made)
        return 201, self.objects[key]

    def _update(self, call: Call, kind: str, key: tuple[str, str, str, str]) -> Answer:
        live, made = self._there(key), self._body(call, kind, key)
        self._fresh(live, made)
        self._own(made, call.query.get("fieldManager", "unknown"), "Update", fields_of(made), before=live)
        self._store(key, made)
        return 200, self.objects[key]

    def _patch(self, call: Call, kind: str, key: tuple[str, str, str, str]) -> Answer:
        if call.headers.get("content-type") != "application/apply-patch+yaml":
            raise Refusal(415, "the body of the request was in an unknown format")
        manager = call.query.get("fieldManager", "")
        if not manager:
            raise Refusal(422, "PatchOptions is invalid: fieldManager: Required value: is required for apply patch")
        made = self._body(call, kind, key)
        if made["metadata"]["name"] != key[3]:
            raise Refusal(400, f"the name of the object does not match the name on the URL ({key[3]})")
        if "managedFields" in made["metadata"]:
            raise Refusal(400, "metadata.managedFields must be nil")
        live = self.objects.get(key)
        if live is not None:
            self._fresh(live, made)
        merged = self._merged(live, made, manager, force=call.query.get("force") == "true")
        self._check(kind, live, merged)
        if call.query.get("dryRun") == "All":
            return (200 if live else 201), self._finished(key, merged, live)
        self._store(key, merged)
        self.applied.append(f"{kind}/{key[3]}")
        return (200 if live else 201), self.objects[key]

    def _delete(self, call: Call, kind: str, key: tuple[str, str, str, str]) -> Answer:
        live, options = self._there(key), call.body or {}
        asked = (options.get("preconditions") or {}).get("uid")
        if asked and asked != live["metadata"]["uid"]:
            said = (
                f'Operation cannot be fulfilled on {key[1]} "{key[3]}": the UID in the precondition ({asked}) does not '
                f"match the UID in record ({live['metadata']['uid']})"
            )
            raise Refusal(409, said, name=key[3], kind=key[1])
        self.deleted.append(f"{kind}/{key[3]}")
        if options.get("propagationPolicy") == "Foreground":
            live["metadata"] |= {"deletionTimestamp": now(), "finalizers": ["foregroundDeletion"]}
            self._bump(live, "MODIFIED")
            return 200, live
        self._gone(key)
        return 200, {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Success",
            "details": {"name": key[3], "kind": key[1], "uid": live["metadata"]["uid"]},
        }

    # --- objects ------------------------------------------------------------------------------------------------------

    def _there(self, key: tuple[str, str, str, str]) -> dict[str, Any]:
        if key not in self.objects:
            raise Refusal(404, f'{key[1]} "{key[3]}" not found', name=key[3], kind=key[1])
        return self.objects[key]

    def _body(self, call: Call, kind: str, key: tuple[str, str, str, str]) -> dict[str, Any]:
        made = copy.deepcopy(call.body)
        if not isinstance(made, dict) or made.get("kind") != kind or made.get("apiVersion") != key[0]:
            raise Refusal(400, f"the object provided is unrecognized (must be of type {kind})")
        metadata = made.setdefault("metadata", {})
        namespaced = self.kinds[key[0]][kind][1]
        if namespaced and metadata.get("namespace", key[2]) != key[2]:
            raise Refusal(400, "the namespace of the provided object does not match the namespace sent on the request")
        if namespaced and ("v1", "namespaces", "", key[2]) not in self.objects:
            raise Refusal(404, f'namespaces "{key[2]}" not found', name=key[2], kind="namespaces")
        if namespaced:
            metadata["namespace"] = key[2]
        elif metadata.get("namespace"):
            self._invalid(
                kind, metadata.get("name"), "metadata.namespace", "not allowed on this type", "FieldValueForbidden"
            )
        made.pop("status", None)
        return made

    def _fresh(self, live: Mapping[str, Any], made: dict[str, Any]) -> None:
        asked = made["metadata"].pop("resourceVersion", None)
        if asked is not None and asked != live["metadata"]["resourceVersion"]:
            said = (
                f'Operation cannot be fulfilled on "{live["metadata"]["name"]}": the object has been modified; please '
                "apply your changes to the latest version and try again"
            )
            raise Refusal(409, said, name=live["metadata"]["name"])

    def _invalid(self, kind: str, name: Any, at: str, said: str, reason: str = "FieldValueInvalid") -> None:
        raise Refusal(
            422,
            f'{kind} "{name}" is invalid: {at}: {said}',
            name=name,
            kind=kind,
            causes=[{"reason": reason, "message": said, "field": at}],
        )

    def _check(self, kind: str, live: Mapping[str, Any] | None, made: Mapping[str, Any]) -> None:
        """What the server refuses: a few of its rules, those that a client is likely to run into."""
        metadata, spec = made["metadata"], made.get("spec") or {}
        name = metadata["name"]
        if not _NAME.fullmatch(name) or len(name) > (63 if kind in {"Job", "Service", "Namespace"} else 253):
            self._invalid(kind, name, "metadata.name", f'Invalid value: "{name}"')
        for key, value in (metadata.get("labels") or {}).items():
            if not isinstance(value, str) or len(value) > 63 or not _LABEL.fullmatch(value):
                self._invalid(kind, name, f"metadata.labels.{key}", f'Invalid value: "{value}"')
        for value in (metadata.get("annotations") or {}).values():
            if not isinstance(value, str):
                self._invalid(kind, name, "metadata.annotations", "must be a string")
        if kind in {"ConfigMap", "Secret"}:
            for key, value in {**(made.get("data") or {}), **(made.get("stringData") or {})}.items():
                if not isinstance(value, str):
                    said = f"failed to create typed patch object: .data.{key}: expected string, got &value{{{value}}}"
                    raise Refusal(422, said, causes=[{"reason": "FieldValueInvalid", "field": f"data.{key}"}])
        if kind in {"Deployment", "StatefulSet", "DaemonSet"}:
            wanted = (spec.get("selector") or {}).get("matchLabels") or {}
            labels = ((spec.get("template") or {}).get("metadata") or {}).get("labels") or {}
            if not wanted or wanted.items() - labels.items():
                self._invalid(
                    kind, name, "spec.template.metadata.labels", "`selector` does not match template `labels`"
                )
            if live is not None and (live.get("spec") or {}).get("selector") != spec.get("selector"):
                self._invalid(kind, name, "spec.selector", "field is immutable")
        if kind == "Job":
            pod = (spec.get("template") or {}).get("spec") or {}
            if pod.get("restartPolicy") not in {"Never", "OnFailure"}:
                self._invalid(
                    kind, name, "spec.template.spec.restartPolicy", 'Required value: valid values: "OnFailure"'
                )
            if live is not None and live["spec"].get("template") != spec.get("template"):
                self._invalid(kind, name, "spec.template", "field is immutable")

    def _merged(
        self, live: dict[str, Any] | None, made: dict[str, Any], manager: str, *, force: bool
    ) -> dict[str, Any]:
        """Server-side apply: what becomes of the object, and who owns what of it then."""
        wanted = fields_of(made)
        if live is None:
            merged = copy.deepcopy(made)
            self._own(merged, manager, "Apply", wanted, before=None)
            return merged
        owners = owners_of(live)
        mine = owners.pop((manager, "Apply"), frozenset())
        there = fields_of(live)
        clashing = [
            (other, path)
            for (other, _), paths in owners.items()
            for path in sorted(paths & wanted.keys())
            if there.get(path) != wanted[path]
        ]
        if clashing and not force:
            causes = [
                {
                    "reason": "FieldManagerConflict",
                    "message": f'conflict with "{other}" using {live["apiVersion"]}',
                    "field": said(path),
                }
                for other, path in clashing
            ]
            named = ", ".join(f"{cause['message']}: {cause['field']}" for cause in causes)
            word = "conflict" if len(causes) == 1 else "conflicts"
            raise Refusal(409, f"Apply failed with {len(causes)} {word}: {named}", causes=causes)
        merged = copy.deepcopy(live)
        others = frozenset().union(*owners.values()) if owners else frozenset()
        for path in mine - wanted.keys() - others:
            forget(merged, path)
        merge(merged, {key: value for key, value in made.items() if key != "metadata"})
        merge(
            merged["metadata"],
            {key: made["metadata"][key] for key in ("labels", "annotations") if key in made["metadata"]},
        )
        self._own(merged, manager, "Apply", wanted, before=live, take=True)
        return merged

    def _own(
        self,
        one: dict[str, Any],
        manager: str,
        operation: str,
        fields: Mapping[Path, Any],
        *,
        before: Mapping[str, Any] | None,
        take: bool = False,
    ) -> None:
        owners = dict(owners_of(before)) if before else {}
        there = fields_of(before) if before else {}
        changed = {path for path, value in fields.items() if there.get(path) != value}
        for who in list(owners):
            if who != (manager, operation) and (take or operation == "Update"):
                owners[who] = owners[who] - changed
        owners[manager, operation] = (
            frozenset(fields)
            if operation == "Apply"
            else frozenset(owners.get((manager, operation), frozenset()) | changed)
        )
        one["metadata"]["managedFields"] = [
            {
                "manager": who,
                "operation": how,
                "apiVersion": one["apiVersion"],
                "time": now(),
                "fieldsType": "FieldsV1",
                "fieldsV1": fields_v1(paths),
            }
            for (who, how), paths in owners.items()
            if paths
        ]

    def _finished(
        self, key: tuple[str, str, str, str], made: dict[str, Any], live: dict[str, Any] | None
    ) -> dict[str, Any]:
        """An object with what the server adds to it."""
        made = copy.deepcopy(made)
        metadata, spec = made["metadata"], made.get("spec")
        if made["kind"] == "Secret" and "stringData" in made:
            import base64

            data = made.setdefault("data", {})
            for name, value in made.pop("stringData").items():
                data[name] = base64.b64encode(value.encode()).decode()
        if isinstance(spec, dict) and made["kind"] in {"Deployment", "StatefulSet"}:
            spec.setdefault("replicas", 1)
        metadata["uid"] = live["metadata"]["uid"] if live else str(uuid.uuid4())
        metadata["creationTimestamp"] = live["metadata"]["creationTimestamp"] if live else now()
        if isinstance(spec, dict) and made["kind"] == "Job":
            spec.setdefault("selector", {"matchLabels": {"batch.kubernetes.io/controller-uid": metadata["uid"]}})
        metadata["resourceVersion"] = live["metadata"]["resourceVersion"] if live else str(self.version)
        if "spec" in made or made["kind"] in WORKLOADS:
            before = live["metadata"].get("generation", 0) if live else 0
            metadata["generation"] = before + (live is None or live.get("spec") != made.get("spec"))
        if live and "status" in live:
            made["status"] = live["status"]
        return made

    def _store(self, key: tuple[str, str, str, str], made: dict[str, Any]) -> None:
        live = self.objects.get(key)
        self._check(made["kind"], live, made)
        made = self._finished(key, made, live)
        if live is not None and bare(live) == bare(made):
            live["metadata"]["managedFields"] = made["metadata"]["managedFields"]
            return
        if made["kind"] in WORKLOADS and (
            live is None or live["metadata"]["generation"] != made["metadata"]["generation"]
        ):
            self.worked += 1
        if made["kind"] == "CustomResourceDefinition":
            spec = made["spec"]
            for one in spec["versions"]:
                kinds = self.kinds.setdefault(f"{spec['group']}/{one['name']}", {})
                kinds[spec["names"]["kind"]] = (spec["names"]["plural"], spec["scope"] == "Namespaced")
        self.objects[key] = made
        self._bump(made, "ADDED" if live is None else "MODIFIED")

    def _bump(self, one: dict[str, Any], what: str) -> None:
        self.version += 1
        one["metadata"]["resourceVersion"] = str(self.version)
        self.events.append((self.version, what, copy.deepcopy(one)))

    def _gone(self, key: tuple[str, str, str, str]) -> None:
        live = self.objects.pop(key)
        self._bump(live, "DELETED")
        for other, pod in list(self.objects.items()):
            owners = pod["metadata"].get("ownerReferences", ())
            if any(owner["uid"] == live["metadata"]["uid"] for owner in owners):
                self._gone(other)

    # --- controllers --------------------------------------------------------------------------------------------------

    def _step(self, key: tuple[str, str, str, str], live: dict[str, Any]) -> None:
        """A workload goes on by one step; what is being deleted is gone."""
        if live["metadata"].get("deletionTimestamp"):
            self._gone(key)
            raise Refusal(404, f'{key[1]} "{key[3]}" not found', name=key[3], kind=key[1])
        step = {
            "Deployment": self._step_deployment,
            "StatefulSet": self._step_stateful_set,
            "DaemonSet": self._step_daemon_set,
            "Job": self._step_job,
            "CustomResourceDefinition": self._step_definition,
        }.get(live["kind"])
        if step is not None:
            before = copy.deepcopy(live.get("status"))
            step(live, (live["metadata"].get("annotations") or {}).get(OUTCOME, "quick"))
            if live.get("status") != before:
                self._bump(live, "MODIFIED")

    def _step_deployment(self, live: dict[str, Any], outcome: str) -> None:
        now_at, generation, replicas = now(), live["metadata"]["generation"], live["spec"].get("replicas", 1)
        said = live.setdefault("status", {})
        progressing = {
            "type": "Progressing",
            "status": "True",
            "reason": "ReplicaSetUpdated",
            "message": "is progressing.",
            "lastUpdateTime": now_at,
            "lastTransitionTime": now_at,
        }
        if said.get("observedGeneration") != generation:
            said |= {
                "observedGeneration": generation,
                "replicas": replicas,
                "updatedReplicas": 0,
                "availableReplicas": 0,
            }
            said["conditions"] = [progressing]
            self._pods(live, replicas, outcome)
        elif outcome == "stuck":
            late = {
                "status": "False",
                "reason": "ProgressDeadlineExceeded",
                "message": f'ReplicaSet "{live["metadata"]["name"]}-5d" has timed out progressing.',
            }
            said["conditions"] = [progressing | late]
        elif outcome == "quick" and said["availableReplicas"] < replicas:
            said |= {"updatedReplicas": replicas, "availableReplicas": replicas, "readyReplicas": replicas}
            done = {"reason": "NewReplicaSetAvailable", "message": "has successfully progressed."}
            available = progressing | {"type": "Available", "reason": "MinimumReplicasAvailable"}
            said["conditions"] = [progressing | done, available]

    def _step_stateful_set(self, live: dict[str, Any], outcome: str) -> None:
        generation, replicas = live["metadata"]["generation"], live["spec"].get("replicas", 1)
        said = live.setdefault("status", {})
        if said.get("observedGeneration") != generation:
            said |= {"observedGeneration": generation, "replicas": replicas, "readyReplicas": replicas - 1}
            said |= {"updatedReplicas": 0, "currentRevision": "a", "updateRevision": f"r{generation}"}
            self._pods(live, replicas, outcome)
        elif outcome == "quick":
            said |= {"updatedReplicas": replicas, "readyReplicas": replicas, "currentRevision": f"r{generation}"}

    def _step_daemon_set(self, live: dict[str, Any], outcome: str) -> None:
        generation, said = live["metadata"]["generation"], live.setdefault("status", {})
        if said.get("observedGeneration") != generation:
            said |= {"observedGeneration": generation, "desiredNumberScheduled": 2, "updatedNumberScheduled": 1}
            said |= {"numberAvailable": 1, "currentNumberScheduled": 2, "numberReady": 1, "numberMisscheduled": 0}
        elif outcome == "quick":
            said |= {"updatedNumberScheduled": 2, "numberAvailable": 2, "numberReady": 2}

    def _step_job(self, live: dict[str, Any], outcome: str) -> None:
        said = live.setdefault("status", {})
        if said.get("conditions") or live["spec"].get("suspend"):
            return
        if "startTime" not in said:
            said |= {"startTime": now(), "active": 1}
            self._pods(live, 1, outcome)
            return
        if outcome == "slow":
            return
        end = {"status": "True", "lastProbeTime": now(), "lastTransitionTime": now()}
        if outcome == "fail":
            message = "Job has reached the specified backoff limit"
            failed = {"type": "Failed", "reason": "BackoffLimitExceeded", "message": message}
            said |= {"active": 0, "failed": 1, "conditions": [end | failed]}
        else:
            said |= {"active": 0, "succeeded": 1, "completionTime": now(), "conditions": [end | {"type": "Complete"}]}

    def _step_definition(self, live: dict[str, Any], outcome: str) -> None:
        if "conditions" not in live.setdefault("status", {}):
            live["status"]["conditions"] = [
                {"type": "NamesAccepted", "status": "True", "reason": "NoConflicts", "lastTransitionTime": now()},
                {
                    "type": "Established",
                    "status": "True",
                    "reason": "InitialNamesAccepted",
                    "lastTransitionTime": now(),
                },
            ]

    def _pods(self, live: dict[str, Any], count: int, outcome: str) -> None:
        """The pods of a workload, those of its earlier generation gone."""
        owner = live["metadata"]["uid"]
        for key, pod in list(self.objects.items()):
            if any(one["uid"] == owner for one in pod["metadata"].get("ownerReferences", ())):
                self._gone(key)
        labels = dict(((live["spec"]["template"].get("metadata")) or {}).get("labels") or {})
        if live["kind"] == "Job":
            labels["batch.kubernetes.io/controller-uid"] = owner
        for number in range(count):
            name = f"{live['metadata']['name']}-{number}"
            self.put(
                {
                    "apiVersion": "v1",
                    "kind": "Pod",
                    "metadata": {
                        "name": name,
                        "namespace": live["metadata"]["namespace"],
                        "labels": labels,
                        "ownerReferences": [
                            {
                                "apiVersion": live["apiVersion"],
                                "kind": live["kind"],
                                "name": live["metadata"]["name"],
                                "uid": owner,
                                "controller": True,
                            }
                        ],
                    },
                    "spec": live["spec"]["template"]["spec"],
                },
                manager="kube-controller-manager",
            )
            self.say(
                "Pod",
                name,
                phase="Failed" if outcome == "fail" else "Running",
                containerStatuses=[
                    _container(one, outcome) for one in live["spec"]["template"]["spec"].get("containers", ())
                ],
            )


def _container(one: Mapping[str, Any], outcome: str) -> dict[str, Any]:
    image = one["image"]
    name, _, tag = image.rpartition(":")
    state: dict[str, Any] = {"running": {"startedAt": now()}}
    if outcome == "fail":
        state = {"terminated": {"exitCode": 3, "reason": "Error", "finishedAt": now(), "message": "no such table"}}
    elif outcome == "stuck":
        state = {"waiting": {"reason": "ImagePullBackOff", "message": f"Back-off pulling image {image}"}}
    return {
        "name": one["name"],
        "image": image,
        "imageID": f"{name}@sha256:{hashlib.sha256(tag.encode()).hexdigest()}",
        "ready": outcome == "quick",
        "restartCount": 0,
        "state": state,
    }


# --- fields and their owners ------------------------------------------------------------------------------------------


def bare(one: Mapping[str, Any]) -> dict[str, Any]:
    made = copy.deepcopy(dict(one))
    for key in ("managedFields", "resourceVersion"):
        made["metadata"].pop(key, None)
    return made


def fields_of(one: Mapping[str, Any]) -> dict[Path, Any]:
    """The leaves of an object that somebody may own, with their values."""
    found: dict[Path, Any] = {}
    for key, value in one.items():
        if key == "metadata":
            for name, inner in value.items():
                if name not in _SERVER_ONLY:
                    found |= dict(_leaves(inner, ("metadata", name)))
        elif key not in {"apiVersion", "kind", "status"}:
            found |= dict(_leaves(value, (key,)))
    return found


def _leaves(value: Any, at: Path) -> Iterator[tuple[Path, Any]]:
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            yield from _leaves(inner, (*at, key))
    elif isinstance(value, list) and value and all(isinstance(one, Mapping) and "name" in one for one in value):
        for one in value:
            for key, inner in one.items():
                yield from _leaves(inner, (*at, f'k:{{"name":"{one["name"]}"}}', key))
    else:
        yield at, value


def owners_of(one: Mapping[str, Any]) -> dict[tuple[str, str], frozenset[Path]]:
    return {
        (entry["manager"], entry["operation"]): frozenset(_paths(entry["fieldsV1"], ()))
        for entry in one["metadata"].get("managedFields", ())
    }


def _paths(tree: Mapping[str, Any], at: Path) -> Iterator[Path]:
    for key, inner in tree.items():
        if key == ".":
            continue
        step = (*at, key.removeprefix("f:"))
        if inner:
            yield from _paths(inner, step)
        else:
            yield step


def fields_v1(paths: frozenset[Path]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for path in sorted(paths):
        at = tree
        for step in path:
            at = at.setdefault(step if step.startswith("k:") else f"f:{step}", {})
    return tree


def said(path: Path) -> str:
    """A path as a conflict names it: `.spec.template.spec.containers[name="web"].image`."""
    return "".join(f'[name="{step[10:-2]}"]' if step.startswith("k:") else f".{step}" for step in path)


def forget(one: dict[str, Any], path: Path) -> None:
    at: Any = one
    for step in path[:-1]:
        if step.startswith("k:"):
            at = next((each for each in at if each["name"] == step[10:-2] if isinstance(at, list)), None)
        else:
            at = at.get(step) if isinstance(at, dict) else None
        if at is None:
            return
    if isinstance(at, dict):
        at.pop(path[-1], None)


def merge(live: dict[str, Any], made: Mapping[str, Any]) -> None:
    for key, value in made.items():
        there = live.get(key)
        if isinstance(value, Mapping) and isinstance(there, dict):
            merge(there, value)
        elif (
            isinstance(value, list)
            and isinstance(there, list)
            and all("name" in one for one in value if isinstance(one, dict))
        ):
            by_name = {one["name"]: one for one in there if isinstance(one, dict) and "name" in one}
            if not by_name or not all(isinstance(one, dict) for one in value):
                live[key] = copy.deepcopy(value)
                continue
            for one in value:
                if one["name"] in by_name:
                    merge(by_name[one["name"]], one)
                else:
                    there.append(copy.deepcopy(one))
        else:
            live[key] = copy.deepcopy(value)


async def main() -> None:
    parser = argparse.ArgumentParser(description="A Kubernetes API server on loopback, for trying things out.")
    parser.add_argument("--token", default="kube-token")
    async with serving(KubernetesServer(token=parser.parse_args().token)) as server:
        print(server.kubeconfig(), flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
