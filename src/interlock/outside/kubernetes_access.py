"""Which cluster does a config mean, and with whose credentials? A kubeconfig, or Interlock's own service account.

A kubeconfig is written by whoever writes an agent or a policy, and read on Interlock's machine. So it may hold nothing
that reaches into this machine or past its guard:

    exec, auth-provider          would run a program here: refused
    files (CA, certificate,      would be read here, whoever they belong to: refused; what they hold may stand in the
      key, token)                text (`kubectl config view --raw --flatten --minify`)
    proxy-url, tls-server-name   the guard would judge another machine than the one that answers: refused
    insecure-skip-tls-verify,    only with `insecureSkipTlsVerify` beside it, where readers see it
      http
    as, as-groups                refused: a role of its own says the same, and can be read

The service account of Interlock's own pod is the operator's: who writes an agent or a policy may use it only where the
operator has said so (`INTERLOCK_KUBERNETES_IN_CLUSTER=1`). Its token is read anew for each call, because the kubelet
changes it.

Source: kubeconfig (v1) reference; "Accessing the API from a Pod" of the Kubernetes documentation.
"""

from __future__ import annotations

import base64
import binascii
import os
import ssl
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from interlock.model.errors import Rejected
from interlock.outside.kubernetes_yaml import read_yaml
from interlock.settings import Settings

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
NAMESPACE = "default"
KUBECONFIG_CHARS_MAX = 256 * 1024

_RUNS_HERE = ("exec", "auth-provider")
_FILES = ("certificate-authority", "client-certificate", "client-key", "tokenFile")
_ELSEWHERE = ("proxy-url", "tls-server-name", "as", "as-uid", "as-groups", "as-user-extra")
_FLATTEN = "Write what it holds: kubectl config view --raw --flatten --minify."


@dataclass(frozen=True, slots=True)
class Access:
    """A cluster's address, and who calls it.

    Takes: `authority`, `certificate` and `key` are PEM texts, "" for none. `own` where the address is the one that
           Interlock's own pod was given.
    """

    server: str
    namespace: str = NAMESPACE
    token: str = field(default="", repr=False)
    basic: str = field(default="", repr=False)
    authority: str = ""
    certificate: str = ""
    key: str = field(default="", repr=False)
    verified: bool = True
    own: bool = False

    @property
    def headers(self) -> Mapping[str, str]:
        """How a call says who makes it; empty where a certificate does."""
        if self.token:
            return {"Authorization": f"Bearer {self.token}"}
        return {"Authorization": f"Basic {self.basic}"} if self.basic else {}

    @property
    def secrets(self) -> tuple[str, ...]:
        """What no message may repeat."""
        return tuple(one for one in (self.token, self.basic) if one)


@dataclass(frozen=True, slots=True)
class OwnPod:
    """Where a pod finds the cluster that it runs in, and its service account."""

    account: Path = ACCOUNT
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)

    def access(self) -> Access:
        """The cluster that Interlock runs in.

        Fails: `Rejected` where it runs in none.
        """
        host = self.environment.get("KUBERNETES_SERVICE_HOST", "")
        port = self.environment.get("KUBERNETES_SERVICE_PORT", "443")
        try:
            token = (self.account / "token").read_text().strip()
            authority = (self.account / "ca.crt").read_text()
        except OSError as missing:
            raise Rejected(f"inCluster: Interlock runs in no cluster: {missing.filename} cannot be read.") from missing
        if not host or not token:
            raise Rejected("inCluster: Interlock runs in no cluster: KUBERNETES_SERVICE_HOST or the token is empty.")
        namespace = NAMESPACE
        with suppress(OSError):
            namespace = (self.account / "namespace").read_text().strip() or NAMESPACE
        name = f"[{host}]" if ":" in host else host
        return Access(f"https://{name}:{port}", namespace, token=token, authority=authority, own=True)


def own_pod(settings: Settings) -> OwnPod | None:
    """Interlock's own pod, where its operator lets configs use its account."""
    return OwnPod() if settings.kubernetes_in_cluster else None


def read_kubeconfig(text: str, *, context: str | None, insecure: bool) -> Access:
    """A kubeconfig's context as it may be used here.

    Takes: `context` names it; None: the current one. `insecure` says that the config around it allows a server whose
           certificate is not checked.
    Fails: `Rejected` for what cannot be read, and for what the module says; no word of the text is repeated but names.
    """
    if len(text) > KUBECONFIG_CHARS_MAX:
        raise Rejected(f"kubeconfig: it is longer than {KUBECONFIG_CHARS_MAX} characters.")
    documents = [one for one in read_yaml(text, field="kubeconfig", tell=False) if one is not None]
    if len(documents) != 1 or not isinstance(documents[0], Mapping):
        raise Rejected("kubeconfig: it is no kubeconfig.")
    found = documents[0]
    name = context or found.get("current-context")
    if not isinstance(name, str) or not name:
        raise Rejected("kubeconfig: it has no current-context; name one in `context`.")
    chosen = _named(found, "contexts", "context", name)
    cluster = _named(found, "clusters", "cluster", chosen.get("cluster"))
    user = _named(found, "users", "user", chosen.get("user")) if chosen.get("user") else {}
    _refuse(user, cluster)
    server, verified = cluster.get("server"), cluster.get("insecure-skip-tls-verify") is not True
    if not isinstance(server, str) or not server.startswith(("https://", "http://")):
        raise Rejected("kubeconfig: the cluster's server is no http or https address.")
    if (not verified or server.startswith("http://")) and not insecure:
        raise Rejected(
            "kubeconfig: the server's certificate would not be checked. "
            "Set insecureSkipTlsVerify: true beside it if that is meant."
        )
    basic = ""
    if user.get("username") and user.get("password"):
        basic = base64.b64encode(f"{user['username']}:{user['password']}".encode()).decode()
    access = Access(
        server.rstrip("/"),
        str(chosen.get("namespace") or NAMESPACE),
        token=str(user.get("token") or ""),
        basic=basic,
        authority=_decoded(cluster, "certificate-authority-data"),
        certificate=_decoded(user, "client-certificate-data"),
        key=_decoded(user, "client-key-data"),
        verified=verified,
    )
    if bool(access.certificate) != bool(access.key):
        raise Rejected("kubeconfig: client-certificate-data and client-key-data belong together.")
    if any(ord(character) < 33 or ord(character) > 126 for character in access.token):
        raise Rejected("kubeconfig: the token holds what no header may hold.")
    return access


def _named(found: Mapping[str, Any], listed: str, what: str, name: object) -> Mapping[str, Any]:
    """`clusters: [{name, cluster}]` and its like: the one of this name."""
    entries = found.get(listed)
    for one in entries if isinstance(entries, Sequence) and not isinstance(entries, str) else ():
        if isinstance(one, Mapping) and one.get("name") == name and isinstance(one.get(what), Mapping):
            inner: Mapping[str, Any] = one[what]
            return inner
    raise Rejected(f"kubeconfig: it has no {what} {name!r}.")


def _refuse(user: Mapping[str, Any], cluster: Mapping[str, Any]) -> None:
    for part in (user, cluster):
        for key in _RUNS_HERE:
            if part.get(key):
                raise Rejected(f"kubeconfig: {key} would run a program on Interlock's machine. Use a token.")
        for key in _FILES:
            if part.get(key):
                raise Rejected(f"kubeconfig: {key} names a file of Interlock's machine. {_FLATTEN}")
        for key in _ELSEWHERE:
            if part.get(key):
                raise Rejected(f"kubeconfig: {key} is not supported.")


def _decoded(part: Mapping[str, Any], key: str) -> str:
    """A PEM text that stands in Base64."""
    text = part.get(key)
    if not text:
        return ""
    try:
        return base64.b64decode(str(text), validate=True).decode("ascii")
    except (binascii.Error, ValueError) as broken:
        raise Rejected(f"kubeconfig: {key} is no PEM text in Base64.") from broken


def trust_of(access: Access) -> ssl.SSLContext | None:
    """Whom TLS trusts there, and what it shows; None for the machine's own list, and where there is no TLS.

    Fails: `Rejected` for a certificate or key that cannot be read.
    """
    plain = access.verified and not access.authority and not access.certificate
    if plain or access.server.startswith("http://"):
        return None
    try:
        if access.verified:
            trust = ssl.create_default_context(cadata=access.authority or None)
        else:
            trust = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            trust.check_hostname, trust.verify_mode = False, ssl.CERT_NONE
        if access.certificate:
            with _as_file(access.certificate + "\n" + access.key) as path:
                trust.load_cert_chain(path, password="")
    except (ssl.SSLError, ValueError, OSError) as broken:
        said = getattr(broken, "reason", None) or type(broken).__name__
        raise Rejected(f"kubeconfig: a certificate or key cannot be read ({said}).") from broken
    return trust


@contextmanager
def _as_file(text: str) -> Iterator[str]:
    """A text as a file, because OpenSSL reads keys from files alone; on Linux it is in no file system."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("interlock", os.MFD_CLOEXEC)
        try:
            os.write(descriptor, text.encode())
            yield f"/proc/self/fd/{descriptor}"
        finally:
            os.close(descriptor)
        return
    with tempfile.NamedTemporaryFile("w") as file:  # 0600
        file.write(text)
        file.flush()
        yield file.name
