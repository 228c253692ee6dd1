"""Does the client reach the whole API? Every operation of the server's own description has a method."""

from __future__ import annotations

import contextlib
import inspect
import json
import re
from urllib.parse import urlsplit

from interlock.api import build_api
from interlock.client import Client
from interlock.client.transport import Answer
from interlock.settings import Settings

OTHERWISE = {
    "POST /api/login": "`client.browser.BrowserLogin`, which has no key yet",
    "GET /api/healthz": "for a load balancer; `is_ready` asks what a client wants to know",
    "PATCH /api/v1/workspaces/{}/deploymentversions/{}": "the older spelling of `change_version`",
    "GET /api/v1/workspaces/slug/{}": "a workspace's slug is taken wherever its id is",
    "GET /api/v1/workspaces/{}/resources/{}/release-targets/deployment/{}": "the same as under identifier/",
    "POST /api/github/webhook": "for GitHub",
    "POST /api/tfe/webhook": "for Terraform Cloud",
    "POST /api/argo/{}/webhook": "for Argo CD",
    "POST /api/jobs/{}/callback": "for whoever was told of the job, with its token",
}
"""Operations without a method, and why."""

ANY = {"items": [], "total": 0, "lastSeq": 0, "cut": False, "events": [], "workspaces": [], "key": "k"}


class Noted:
    """Notes what is asked and answers everything alike."""

    def __init__(self):
        self.asked = set()

    def exchange(self, request):
        self.asked.add((request.method, urlsplit(request.target).path))
        return Answer(200, {}, json.dumps(ANY).encode())

    @contextlib.contextmanager
    def stream(self, request, *, silence_max_s):
        self.exchange(request)
        yield Answer(200), iter(())

    def close(self):
        pass


def given(parameter):
    """Something to call a method with."""
    kind = str(parameter.annotation)
    if "Sequence" in kind or "list" in kind or "Iterable" in kind:
        return []
    if "int" in kind or "float" in kind:
        return 1
    return {} if "Wire" in kind or "Mapping" in kind else "x"


def reached():
    noted = Noted()
    client = Client("http://h", api_key="k", workspace="w", transport=noted)
    for name, method in inspect.getmembers(client, inspect.ismethod):
        if name.startswith(("_", "keep_")):
            continue
        positional, named = [], {}
        for parameter in inspect.signature(method).parameters.values():
            if parameter.default is not inspect.Parameter.empty or parameter.kind is parameter.VAR_KEYWORD:
                continue
            if parameter.kind is parameter.KEYWORD_ONLY:
                named[parameter.name] = given(parameter)
            else:
                positional.append(given(parameter))
        steps = ("pause", "resume", "speed-up", "promote", "abort") if name == "steer_rollout" else (None,)
        for step in steps:
            answer = method(*positional, **(named | ({"step": step} if step else {})))
            if inspect.isgenerator(answer):
                list(answer)
    return noted.asked


def test_every_operation_has_a_method(tmp_path):
    described = build_api(None, Settings(data=tmp_path)).openapi()["paths"]
    operations = {
        f"{verb.upper()} {re.sub(r'{[^}]*}', '{}', template)}"
        for template, verbs in described.items()
        for verb in verbs
        if verb in {"get", "put", "post", "patch", "delete"}
    }
    asked = reached()

    def is_asked(operation):
        verb, template = operation.split(" ", 1)
        pattern = re.compile(re.escape(template.removeprefix("/api")).replace(r"\{\}", "[^/]+"))
        return any(method == verb and pattern.fullmatch(path) for method, path in asked)

    missing = {operation for operation in operations if not is_asked(operation)}
    assert sorted(missing - OTHERWISE.keys()) == []
    assert sorted(OTHERWISE.keys() - operations) == []
