"""Does the agent work on a real cluster? Only where somebody gives one:

    INTERLOCK_TEST_KUBECONFIG=~/.kube/test.yaml make test ARGS=tests/agents/test_kubernetes_real.py

The file needs everything in it (`kubectl config view --raw --flatten --minify`), and rights as the agent's page says in
the namespace of its context, which must be there. What is made is deleted at the end. Images are pulled from
registry.k8s.io, or as INTERLOCK_TEST_IMAGE_PAUSE and INTERLOCK_TEST_IMAGE_SHELL (a `sh`) say.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from interlock.agents.kubernetes import KubernetesAgent
from interlock.agents.kubernetes_cluster import reached
from interlock.agents.kubernetes_inventory import read_inventory
from interlock.model.ids import new_id
from interlock.model.job import AgentJob, JobStatus
from interlock.outside.go_templates import GoTemplates
from interlock.outside.http import Http

from .conformance import AUTHORIZATION, Rehearsal, ended, job_of, started

GIVEN = os.environ.get("INTERLOCK_TEST_KUBECONFIG", "")
PAUSE = os.environ.get("INTERLOCK_TEST_IMAGE_PAUSE", "registry.k8s.io/pause:3.10")
SHELL = os.environ.get("INTERLOCK_TEST_IMAGE_SHELL", "registry.k8s.io/e2e-test-images/busybox:1.36.1-1")
PATIENCE_S = 180.0

pytestmark = pytest.mark.skipif(not GIVEN, reason="INTERLOCK_TEST_KUBECONFIG names no cluster")

WEB = f"""
apiVersion: apps/v1
kind: Deployment
metadata: {{name: interlock-test-web}}
spec:
  replicas: {{{{ .version.tag }}}}
  selector: {{matchLabels: {{app: interlock-test}}}}
  template:
    metadata: {{labels: {{app: interlock-test}}}}
    spec: {{terminationGracePeriodSeconds: 1, containers: [{{name: web, image: "{PAUSE}"}}]}}
---
apiVersion: v1
kind: ConfigMap
metadata: {{name: interlock-test-kept}}
data: {{a: "1"}}
"""
EXTRA = """
---
apiVersion: v1
kind: ConfigMap
metadata: {name: interlock-test-extra}
data: {a: "1"}
"""


def work(script: str) -> str:
    return f"""
apiVersion: batch/v1
kind: Job
metadata: {{name: interlock-test-work}}
spec:
  backoffLimit: 0
  template:
    spec: {{restartPolicy: Never, containers: [{{name: main, image: "{SHELL}", command: [sh, -c, "{script}"]}}]}}
"""


@pytest.fixture
async def agent():
    templates = GoTemplates()
    async with Http(allow_private_addresses=True) as http:
        yield KubernetesAgent(http, templates)
    await templates.close()


@pytest.fixture
def around():
    """A target of this test alone."""
    return {"deployment": {"id": new_id()}, "environment": {"id": "e"}, "resource": {"id": "r"}}


def job_with(agent: KubernetesAgent, around: Mapping[str, Any], template: str, tag: str = "1") -> AgentJob:
    config = {"kubeconfig": Path(GIVEN).expanduser().read_text(), "template": template, "prune": True}
    agent.check_config(config)
    rehearsal = Rehearsal(agent=agent, quick={}, slow={}, wrong=(), context={**around, "version": {"tag": tag}})
    return job_of(rehearsal, config)


async def clean(agent: KubernetesAgent, job: AgentJob) -> None:
    """Delete what the target owns, and its list."""
    place = await agent._place(job)
    async with reached(agent._http, place.access, timeout_s=20) as cluster:
        listed = await cluster.read(place.ref, "configmaps")
        assert listed is not None
        for entry in read_inventory(listed, owner=place.owner).entries:
            live = await cluster.read(entry.ref, entry.plural)
            if live is not None:
                await cluster.delete(entry.ref, entry.plural, uid=live["metadata"]["uid"])
        await cluster.delete(place.ref, "configmaps", uid=listed["metadata"]["uid"])


async def test_a_release_goes_out_is_planned_inspected_and_pruned(agent, around):
    first, _ = await started(agent, job_with(agent, around, WEB + EXTRA))
    try:
        seen = await ended(agent, first, within_s=PATIENCE_S)
        assert seen.status is JobStatus.SUCCESSFUL, seen.message
        assert all("@sha256:" in one for one in seen.artifacts)
        assert not (await agent.plan(first, first.context)).has_changes
        inspected = await agent.inspect(first)
        assert inspected.drift == ()
        assert inspected.artifacts == seen.artifacts
        second, seen = await started(agent, job_with(agent, around, WEB, tag="2"))
        assert "ConfigMap" in str(seen.message)
        assert (await ended(agent, second, within_s=PATIENCE_S)).status is JobStatus.SUCCESSFUL
        assert "ConfigMap/interlock-test-extra" not in str((await agent.inspect(second)).applied)
    finally:
        await clean(agent, first)


async def test_a_job_runs_once_fails_with_its_words_and_is_ended_by_a_cancel(agent, around):
    job = job_with(agent, around, work("echo done"))
    try:
        await asyncio.gather(*(agent.start(job, AUTHORIZATION) for _ in range(3)))
        done, _ = await started(agent, job)
        assert (await ended(agent, done, within_s=PATIENCE_S)).status is JobStatus.SUCCESSFUL
        failing, _ = await started(agent, job_with(agent, around, work("echo no such table; exit 3")))
        seen = await ended(agent, failing, within_s=PATIENCE_S)
        assert seen.status is JobStatus.FAILURE
        assert "exit status 3" in str(seen.message)
        assert "no such table" in str(seen.output)
        long, _ = await started(agent, job_with(agent, around, work("sleep 600")))
        seen = await agent.cancel(long)
        while seen is not None and seen.status is JobStatus.IN_PROGRESS:
            await asyncio.sleep(1)
            seen = await agent.cancel(long)
        assert seen is not None
        assert seen.status is JobStatus.CANCELLED
    finally:
        await clean(agent, job)
