"""What does a live object mean, what is a manifest, whose is it, what differs, what may a kubeconfig hold? Tables."""

from __future__ import annotations

import base64
from datetime import UTC, datetime

import orjson
import pytest

from interlock.agents.kubernetes_compare import differences, shown
from interlock.agents.kubernetes_inventory import LEFT_MAX, Entry, Inventory, begun, read_inventory
from interlock.agents.kubernetes_manifests import (
    OBJECTS_MAX,
    Ref,
    conditions_wanted,
    job_name,
    owned,
    owner_of,
    parse_manifests,
    rank,
    read_yaml,
)
from interlock.agents.kubernetes_pods import digests_in, digests_of, failed_container, selector_of
from interlock.model.errors import AgentUnavailable, Rejected
from interlock.outside.kubernetes_access import OwnPod, read_kubeconfig, trust_of
from interlock.outside.kubernetes_health import State, health_of

# How an object is -----------------------------------------------------------------------------------------------------


def live(api_version: str, kind: str, *, spec: object = None, generation: int = 2, **status: object) -> dict:
    metadata = {"name": "web", "generation": generation}
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, "spec": spec or {}, "status": status}


def conditions(*shown: str) -> list[dict[str, object]]:
    """`Ready`, `!Synced:NoCredentials` (False, with its reason), `Ready@1` (about generation 1)."""
    found = []
    for one in shown:
        name, _, about = one.removeprefix("!").partition("@")
        name, _, reason = name.partition(":")
        condition: dict[str, object] = {"type": name, "status": "False" if one.startswith("!") else "True"}
        condition |= {"reason": reason} if reason else {}
        condition |= {"observedGeneration": int(about)} if about else {}
        found.append(condition)
    return found


def deployment(**status: object) -> dict:
    base = {"observedGeneration": 2, "replicas": 3, "updatedReplicas": 3, "availableReplicas": 3}
    return live("apps/v1", "Deployment", spec={"replicas": 3}, **{**base, **status})


def stateful(spec: object = None, **status: object) -> dict:
    base = {"observedGeneration": 2, "updatedReplicas": 3, "readyReplicas": 3, "currentRevision": "a"}
    wanted = {"replicas": 3, **(spec or {})}  # type: ignore[dict-item]
    return live("apps/v1", "StatefulSet", spec=wanted, **{**base, "updateRevision": "a", **status})


DAEMON = {"observedGeneration": 2, "desiredNumberScheduled": 2, "updatedNumberScheduled": 2, "numberAvailable": 2}

# what lives -> how it is, what is said
OBJECTS = [
    (deployment(), State.READY, ""),
    (deployment(observedGeneration=1), State.WORKING, "has not seen the change"),
    (live("apps/v1", "Deployment"), State.WORKING, "has not seen the change"),
    (deployment(updatedReplicas=1), State.WORKING, "1 of 3 replicas are updated"),
    (deployment(replicas=4), State.WORKING, "1 old replicas are ending"),
    (deployment(availableReplicas=2), State.WORKING, "2 of 3 updated replicas are available"),
    (
        deployment(updatedReplicas=0, conditions=conditions("ReplicaFailure:FailedCreate")),
        State.WORKING,
        "FailedCreate",
    ),
    (deployment(conditions=conditions("!Progressing:ProgressDeadlineExceeded")), State.FAILED, "ProgressDeadline"),
    ({**deployment(), "spec": {"replicas": 3, "paused": True}}, State.SUSPENDED, "is paused"),
    (stateful(), State.READY, ""),
    (stateful(observedGeneration=1), State.WORKING, "has not seen"),
    (stateful(updatedReplicas=2), State.WORKING, "2 of 3 replicas are updated"),
    (stateful(readyReplicas=2), State.WORKING, "2 of 3 replicas are ready"),
    (stateful(updateRevision="b"), State.WORKING, "has not ended the update"),
    (stateful({"updateStrategy": {"rollingUpdate": {"partition": 2}}}, updatedReplicas=1), State.READY, ""),
    (stateful({"updateStrategy": {"rollingUpdate": {"partition": 2}}}, updatedReplicas=0), State.WORKING, "0 of 1"),
    (stateful({"updateStrategy": {"type": "OnDelete"}}, updatedReplicas=0), State.READY, ""),
    (live("apps/v1", "DaemonSet", **DAEMON), State.READY, ""),
    (live("apps/v1", "DaemonSet", **{**DAEMON, "updatedNumberScheduled": 1}), State.WORKING, "1 of 2 pods are updated"),
    (live("apps/v1", "DaemonSet", **{**DAEMON, "numberAvailable": 0}), State.WORKING, "0 of 2 pods are available"),
    (live("apps/v1", "ReplicaSet", observedGeneration=2, availableReplicas=1), State.READY, ""),
    (live("apps/v1", "ReplicaSet", observedGeneration=2), State.WORKING, "0 of 1 replicas are available"),
    (live("batch/v1", "Job", active=1, failed=2), State.WORKING, "1 pods run, 2 failed before"),
    (live("batch/v1", "Job", spec={"suspend": True}), State.SUSPENDED, "is suspended"),
    (live("batch/v1", "Job", conditions=conditions("Complete")), State.READY, ""),
    (live("batch/v1", "Job", conditions=conditions("Failed:DeadlineExceeded")), State.FAILED, "DeadlineExceeded"),
    (live("v1", "Pod", phase="Pending"), State.WORKING, "its phase is Pending"),
    (live("v1", "Pod", phase="Running", conditions=conditions("Ready")), State.READY, ""),
    (live("v1", "Pod", phase="Succeeded"), State.READY, ""),
    (live("v1", "Pod", phase="Failed", reason="Evicted", message="disk"), State.FAILED, "Evicted: disk"),
    (live("v1", "PersistentVolumeClaim", phase="Pending"), State.READY, ""),
    (live("v1", "PersistentVolumeClaim", phase="Lost"), State.FAILED, "has lost its volume"),
    (live("v1", "ConfigMap"), State.READY, ""),
    (live("networking.k8s.io/v1", "Ingress"), State.READY, ""),
    (live("apiextensions.k8s.io/v1", "CustomResourceDefinition"), State.WORKING, "is not established"),
    (
        live("apiextensions.k8s.io/v1", "CustomResourceDefinition", conditions=conditions("Established")),
        State.READY,
        "",
    ),
    (
        live("apiextensions.k8s.io/v1", "CustomResourceDefinition", conditions=conditions("!NamesAccepted:Taken")),
        State.FAILED,
        "Taken",
    ),
    (live("apiregistration.k8s.io/v1", "APIService", conditions=conditions("!Available:Gone")), State.WORKING, "Gone"),
    ({**live("v1", "ConfigMap"), "metadata": {"deletionTimestamp": "now"}}, State.WORKING, "is being deleted"),
]

# the conditions of a kind that is not Kubernetes' own, whether it had a moment -> how it is, what is said
SHOWN = [
    (("Ready", "Synced"), True, State.READY, ""),  # a Crossplane claim that is there
    (("!Ready:Creating", "Synced"), True, State.WORKING, "Ready: Creating"),
    (("Ready", "!Synced:ReconcileError"), True, State.WORKING, "Synced: ReconcileError"),
    (("Ready", "Synced"), False, State.WORKING, "is given a moment"),  # it may be what was before the change
    (("Ready@2", "Synced@2"), False, State.READY, ""),  # it says what it is about
    (("Ready@1", "Synced@2"), True, State.WORKING, "has not seen the change"),
    (("Ready", "Stalled:BadSource"), True, State.FAILED, "BadSource"),
    (("Ready", "Reconciling:Progressing"), True, State.WORKING, "Progressing"),
    ((), False, State.WORKING, "is given a moment"),
    ((), True, State.READY, ""),
    (("Accepted",), True, State.READY, ""),
]


@pytest.mark.parametrize(("one", "state", "said"), OBJECTS, ids=range(len(OBJECTS)))
def test_each_kind_says_how_it_is(one, state, said):
    health = health_of(one)
    assert health.state is state
    assert said in health.said


@pytest.mark.parametrize(("shown", "settled", "state", "said"), SHOWN, ids=range(len(SHOWN)))
def test_conditions_speak_for_kinds_that_kubernetes_does_not_bring(shown, settled, state, said):
    health = health_of(live("database.example.org/v1", "Postgres", conditions=conditions(*shown)), settled=settled)
    assert health.state is state
    assert said in health.said


def test_a_status_that_names_an_older_generation_is_not_believed():
    claim = live("database.example.org/v1", "Postgres", observedGeneration=1, conditions=conditions("Ready"))
    assert health_of(claim).state is State.WORKING
    claim["status"]["observedGeneration"] = 2
    assert health_of(claim, settled=False).state is State.READY


def test_an_annotation_names_the_conditions_that_must_be_there():
    gateway = live("gateway.networking.k8s.io/v1", "Gateway", conditions=conditions("Accepted", "!Programmed:Pending"))
    assert health_of(gateway, wanted=("Accepted",)).state is State.READY
    assert health_of(gateway, wanted=("Accepted", "Programmed")).said == "Programmed: Pending"
    assert health_of(gateway, wanted=("Ready",)).said == "shows no condition Ready yet"
    assert health_of(deployment(updatedReplicas=0), wanted=()).state is State.READY
    late = live("example.org/v1", "X", conditions=conditions("Ready@1"))
    assert health_of(late, wanted=("Ready",)).state is State.WORKING


# Manifests ------------------------------------------------------------------------------------------------------------

CONFIG_MAP = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}}


def text(*objects: object) -> str:
    return "\n---\n".join(orjson.dumps(one).decode() for one in objects)


# a rendered template -> what the refusal says
UNUSABLE = [
    ("", "holds no object"),
    ("---\n---\n", "holds no object"),
    ("a: [", "it is no YAML"),
    ("just words", "document 1: it is no object"),
    ("[1]", "document 1: it is no object"),
    ("a: &a [*a]", "stands for more than 200000 values"),
    ("kind: ConfigMap", "apiVersion must be a text"),
    ("{apiVersion: v1/../../x, kind: ConfigMap}", "apiVersion must be a text"),
    ("{apiVersion: v1, kind: ../x}", "kind must be a text"),
    ("{apiVersion: v1, kind: ConfigMap}", "the ConfigMap has no metadata"),
    ("{apiVersion: v1, kind: ConfigMap, metadata: {}}", "metadata.name must be"),
    ("{apiVersion: v1, kind: ConfigMap, metadata: {generateName: a-}}", "metadata.name must be"),
    ("{apiVersion: v1, kind: ConfigMap, metadata: {name: ..}}", "metadata.name must be"),
    ("{apiVersion: v1, kind: ConfigMap, metadata: {name: a/b}}", "metadata.name must be"),
    ("{apiVersion: v1, kind: ConfigMap, metadata: {name: 5}}", "metadata.name must be"),
    ("{apiVersion: v1, kind: ConfigMap, metadata: {name: a, namespace: a/b}}", "the namespace of ConfigMap a"),
    ("{apiVersion: v1, kind: ConfigMap, metadata: {name: a, labels: [b]}}", "metadata.labels"),
    (text(*[CONFIG_MAP] * (OBJECTS_MAX + 1)), "more than 500 objects"),
]


@pytest.mark.parametrize(("rendered", "said"), UNUSABLE, ids=range(len(UNUSABLE)))
def test_what_is_no_manifest_is_refused_with_its_document(rendered, said):
    with pytest.raises(Rejected, match=r"config\.template") as refused:
        parse_manifests(rendered, field="config.template")
    assert said in refused.value.message


def test_a_list_is_what_it_holds_and_empty_documents_are_nothing():
    listed = {"apiVersion": "v1", "kind": "List", "items": [CONFIG_MAP, CONFIG_MAP]}
    assert [one["kind"] for one in parse_manifests(f"---\n{text(listed)}\n---\n# none\n", field="t")] == [
        "ConfigMap"
    ] * 2


def test_yaml_is_read_as_kubectl_reads_it():
    [found] = read_yaml("mode: 0644\nword: on\ntime: 12:30\nday: 2026-01-02\n5: five\nbig: 0o17", field="t")
    assert found == {"mode": 420, "word": "on", "time": "12:30", "day": "2026-01-02", "5": "five", "big": 15}


def test_what_the_server_writes_is_left_out_of_a_manifest():
    noisy = {**CONFIG_MAP, "metadata": {"name": "a", "uid": "1", "resourceVersion": "2"}, "status": {}}
    assert parse_manifests(text(noisy), field="t") == [CONFIG_MAP]


def test_a_namespace_is_nobodys_and_all_else_is_marked():
    marked = owned(CONFIG_MAP, owner="o", note="j/1", named=True)["metadata"]
    assert marked["labels"] == {"interlock/target": "o", "app.kubernetes.io/managed-by": "interlock"}
    assert marked["annotations"] == {"interlock/job": "j/1"}
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}}
    assert owned(namespace, owner="o", note="j/1", named=True) == namespace


def test_a_job_is_named_by_its_attempt_within_63_characters():
    assert job_name("migrate", "j/1") != job_name("migrate", "j/2")
    assert job_name("migrate", "j/1").startswith("migrate-")
    assert len(job_name("m" * 90, "j/12")) == 63
    assert job_name("m" * 90, "j/1") != job_name("m" * 90, "k/1")


def test_the_target_is_deployment_environment_and_resource():
    around = {"deployment": {"id": "d"}, "environment": {"id": "e"}, "resource": {"id": "r"}}
    assert owner_of(around, agent_id="a") == owner_of(around, agent_id="b")
    assert owner_of(around, agent_id="a") != owner_of({**around, "environment": {"id": "f"}}, agent_id="a")
    assert owner_of({"resource": {"id": "r"}}, agent_id="a") != owner_of({"resource": {"id": "r"}}, agent_id="b")


def test_what_others_need_comes_first_and_what_may_stop_others_last():
    kinds = ["ValidatingWebhookConfiguration", "Certificate", "Deployment", "Secret", "Namespace", "Job"]
    assert sorted(kinds, key=rank) == [
        "Namespace",
        "Secret",
        "Deployment",
        "Job",
        "Certificate",
        "ValidatingWebhookConfiguration",
    ]


@pytest.mark.parametrize(("said", "wanted"), [("Ready, Synced", ("Ready", "Synced")), ("none", ()), (None, None)])
def test_the_conditions_of_a_manifest(said, wanted):
    annotations = {} if said is None else {"interlock/wait-for": said}
    assert conditions_wanted({"metadata": {"annotations": annotations}}) == wanted


# The list in the cluster ----------------------------------------------------------------------------------------------

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def entry(name: str, **more: object) -> Entry:
    return Entry(Ref("v1", "ConfigMap", "shop", name), "configmaps", **more)  # type: ignore[arg-type]


def test_the_list_is_read_as_it_was_written():
    made = Inventory("o", "shop", "j/1", NOW, entries=(entry("a", wait_for=("Ready",)), entry("b", current=False)))
    stored = made.config_map()
    stored["metadata"]["resourceVersion"] = "7"
    found = read_inventory(stored, owner="o")
    assert (found.entries, found.note, found.at, found.version) == (made.entries, "j/1", NOW, "7")


def test_what_an_attempt_no_longer_wants_stays_in_the_list_until_it_is_gone():
    before = Inventory("o", "shop", "j/1", NOW, entries=(entry("a"), entry("b"), entry("c")), version="7")
    made = begun(Inventory("o", "shop", "j/2", NOW), [entry("a")], before=before, gone={entry("c").ref})
    assert [(one.ref.name, one.current) for one in made.entries] == [("a", True), ("b", False)]
    assert made.version == "7"
    many = Inventory("o", "shop", "j/1", NOW, entries=tuple(entry(f"x{n}") for n in range(LEFT_MAX + 5)))
    assert len(begun(made, [], before=many).entries) == LEFT_MAX


# what somebody has made of the list
BROKEN = [
    {},
    {"inventory.json": "["},
    {"inventory.json": "{}"},
    {"inventory.json": '{"job": "j/1", "at": "2026-03-01T12:00:00+00:00", "objects": [{"name": "a"}]}'},
    {
        "inventory.json": '{"job": "j/1", "at": "2026-03-01T12:00:00+00:00", "objects": [{"api_version": "v1", '
        '"kind": "Secret", "namespace": "shop", "name": "../../../x", "plural": "secrets"}]}'
    },
]


@pytest.mark.parametrize("data", BROKEN, ids=range(len(BROKEN)))
def test_a_list_that_cannot_be_read_starts_nothing(data):
    stored = {"metadata": {"name": "interlock-o", "namespace": "shop", "resourceVersion": "1"}, "data": data}
    with pytest.raises(AgentUnavailable, match="ConfigMap shop/interlock-o"):
        read_inventory(stored, owner="o")


# Differences ----------------------------------------------------------------------------------------------------------


def test_differences_are_fields_and_what_the_server_writes_is_none():
    one = {"metadata": {"name": "a", "resourceVersion": "1"}, "spec": {"a": 1, "list": [{"b": 1}]}, "status": {"x": 1}}
    other = {"metadata": {"name": "a", "resourceVersion": "2"}, "spec": {"a": 2, "list": [{"b": 2}], "c": 1}}
    assert differences(one, other) == (".spec.a", ".spec.c", ".spec.list[0].b")
    assert differences(one, one) == ()


def test_a_secrets_values_are_shown_to_nobody_but_that_they_change():
    def secret(value: str) -> dict:
        data = {"same": "c2FtZQ==", "password": base64.b64encode(value.encode()).decode()}
        return {"kind": "Secret", "metadata": {"name": "s"}, "data": data}

    now, then = shown([(secret("old"), secret("new"))])
    assert "password: ••••\n" in now
    assert "password: •••• (changed)\n" in then
    assert "same: ••••\n" in then
    assert "c2FtZQ" not in now + then


# Pods -----------------------------------------------------------------------------------------------------------------


def test_digests_are_those_that_run_and_a_workload_may_name_its_own():
    def pod(image_id: str, **metadata: object) -> dict:
        status = {"containerStatuses": [{"name": "c", "image": "r.example:5000/a:1", "imageID": image_id}]}
        return {"metadata": {"name": "p", **metadata}, "status": status}

    digest = "sha256:" + "0" * 64
    pods = [
        pod(f"docker-pullable://r.example/a@{digest}"),
        pod(digest),
        pod("r.example/b:1"),
        pod(f"r.example/old@{digest}", deletionTimestamp="now"),
    ]
    assert digests_of(pods) == {f"r.example/a@{digest}", f"r.example:5000/a@{digest}"}
    template = {"spec": {"containers": [{"image": f"r.example/a@{digest}"}, {"image": "b:1"}]}}
    assert digests_in({"kind": "Deployment", "spec": {"template": template}}) == {f"r.example/a@{digest}"}


def test_a_selector_is_said_as_a_query_says_it():
    selector = {
        "matchLabels": {"app": "web"},
        "matchExpressions": [
            {"key": "tier", "operator": "In", "values": ["a", "b"]},
            {"key": "x", "operator": "NotIn", "values": ["c"]},
            {"key": "y", "operator": "Exists"},
            {"key": "z", "operator": "DoesNotExist"},
        ],
    }
    live = {"kind": "Deployment", "spec": {"selector": selector}}
    assert selector_of(live) == "app=web,tier in (a,b),x notin (c),y,!z"
    assert selector_of({"kind": "Service", "spec": {"selector": {"app": "web"}}}) is None


def test_the_newest_container_that_failed_speaks():
    def pod(name: str, state: dict) -> dict:
        return {"metadata": {"name": name}, "status": {"containerStatuses": [{"name": "main", "state": state}]}}

    old = pod("a", {"terminated": {"exitCode": 1, "finishedAt": "2026-01-01T00:00:00Z", "reason": "Error"}})
    new = pod("b", {"terminated": {"exitCode": 137, "finishedAt": "2026-01-02T00:00:00Z", "reason": "OOMKilled"}})
    waiting = pod("c", {"waiting": {"reason": "ContainerCreating"}})
    assert failed_container([new, old, waiting]) == ("b", "main", "exit status 137: OOMKilled")
    assert failed_container([waiting]) is None


# Kubeconfigs ----------------------------------------------------------------------------------------------------------


def kubeconfig(cluster: dict | None = None, user: dict | None = None, **more: object) -> str:
    made = {
        "current-context": "here",
        "clusters": [{"name": "c", "cluster": {"server": "https://k.example:6443", **(cluster or {})}}],
        "users": [{"name": "u", "user": user if user is not None else {"token": "t0ken"}}],
        "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u", "namespace": "shop"}}],
        **more,
    }
    return orjson.dumps(made).decode()


# a kubeconfig -> what the refusal says
REFUSED = [
    ("[]", "it is no kubeconfig"),
    ("a: [s3cret", "it is no YAML: line 1"),
    (kubeconfig(**{"current-context": ""}), "it has no current-context"),
    (kubeconfig(contexts=[]), "it has no context 'here'"),
    (kubeconfig(clusters=[]), "it has no cluster 'c'"),
    (kubeconfig(users=[]), "it has no user 'u'"),
    (kubeconfig(user={"exec": {"command": "sh"}}), "exec would run a program on Interlock's machine"),
    (kubeconfig(user={"token": "t", "exec": {"command": "sh"}}), "exec would run a program"),
    (kubeconfig(user={"auth-provider": {"name": "gcp"}}), "auth-provider would run a program"),
    (kubeconfig(user={"tokenFile": "/etc/passwd"}), "tokenFile names a file of Interlock's machine"),
    (kubeconfig(user={"client-key": "/k.pem"}), "client-key names a file"),
    (kubeconfig({"certificate-authority": "/ca.pem"}), "certificate-authority names a file"),
    (kubeconfig({"proxy-url": "http://10.0.0.1"}), "proxy-url is not supported"),
    (kubeconfig({"tls-server-name": "other"}), "tls-server-name is not supported"),
    (kubeconfig(user={"token": "t", "as": "root"}), "as is not supported"),
    (kubeconfig({"insecure-skip-tls-verify": True}), "Set insecureSkipTlsVerify: true"),
    (kubeconfig({"server": "http://k.example"}), "Set insecureSkipTlsVerify: true"),
    (kubeconfig({"server": "file:///x"}), "no http or https address"),
    (kubeconfig({"certificate-authority-data": "%%"}), "certificate-authority-data is no PEM text"),
    (kubeconfig(user={"client-certificate-data": base64.b64encode(b"x").decode()}), "belong together"),
    (kubeconfig(user={"token": "t\r\nX: y"}), "the token holds what no header may hold"),
]


@pytest.mark.parametrize(("text", "said"), REFUSED, ids=range(len(REFUSED)))
def test_a_kubeconfig_that_reaches_into_this_machine_or_past_the_guard_is_refused(text, said):
    with pytest.raises(Rejected, match="kubeconfig: ") as refused:
        read_kubeconfig(text, context=None, insecure=False)
    assert said in refused.value.message
    assert "s3cret" not in refused.value.message


def test_a_kubeconfig_says_where_and_as_whom():
    access = read_kubeconfig(kubeconfig(), context=None, insecure=False)
    assert (access.server, access.namespace) == ("https://k.example:6443", "shop")
    assert access.headers == {"Authorization": "Bearer t0ken"}
    assert "t0ken" not in repr(access)
    basic = read_kubeconfig(kubeconfig(user={"username": "u", "password": "p"}), context="here", insecure=False)
    assert basic.headers == {"Authorization": "Basic dTpw"}
    loose = read_kubeconfig(kubeconfig({"insecure-skip-tls-verify": True}), context=None, insecure=True)
    trust = trust_of(loose)
    assert trust is not None
    assert not trust.check_hostname


def test_a_certificate_that_is_none_is_refused_without_its_text():
    data = base64.b64encode(b"-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n").decode()
    access = read_kubeconfig(kubeconfig({"certificate-authority-data": data}), context=None, insecure=False)
    with pytest.raises(Rejected, match="cannot be read"):
        trust_of(access)


def test_a_pod_finds_its_cluster_and_reads_its_token_anew(tmp_path):
    for name, value in (("token", "one\n"), ("ca.crt", "PEM"), ("namespace", "interlock")):
        (tmp_path / name).write_text(value)
    around = {"KUBERNETES_SERVICE_HOST": "fd00::1", "KUBERNETES_SERVICE_PORT": "6443"}
    pod = OwnPod(tmp_path, around)
    access = pod.access()
    assert (access.server, access.namespace, access.token) == ("https://[fd00::1]:6443", "interlock", "one")
    (tmp_path / "token").write_text("two")
    assert pod.access().token == "two"
    with pytest.raises(Rejected, match="runs in no cluster"):
        OwnPod(tmp_path / "none", around).access()
    with pytest.raises(Rejected, match="KUBERNETES_SERVICE_HOST"):
        OwnPod(tmp_path, {}).access()
