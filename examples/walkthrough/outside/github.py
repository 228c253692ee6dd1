"""What does GitHub do in the walkthrough? A tag that is pushed starts a run of the workflow in `repository/`.

The API is the stub that Interlock's tests check the agent `github-app` against, which follows GitHub's published one.
What is added here is a push, by GitHub's call for it, and the work: the `run` steps of the workflow are run by bash,
with the variables that a runner sets. Steps that say `uses`, and those that install the command line, are left out:
what they bring is there.

    POST /repos/example/shop/git/refs  {"ref": "refs/tags/v1.2.3", "sha": "..."}

The repository's secrets are files of .interlock/walkthrough/github-secrets.
"""

from __future__ import annotations

import asyncio
import os
import re
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from running import KEPT, PORTS, WALKTHROUGH, find_stub_servers, serve, tell

find_stub_servers()

from agents.github_server import GitHubServer, stamp  # noqa: E402
from agents.stub_server import Answer, Call  # noqa: E402

WORKFLOWS = WALKTHROUGH / "repository" / ".github" / "workflows"
SECRETS = KEPT / "github-secrets"
VARIABLES = {
    "INTERLOCK_URL": os.environ.get("INTERLOCK_URL", "http://127.0.0.1:8080"),
    "INTERLOCK_WORKSPACE": os.environ.get("INTERLOCK_WORKSPACE", "shop"),
}
INSTALLS = ("pipx install", "pip install")
EXPRESSION = re.compile(r"\$\{\{\s*([\w.]+)\s*\}\}")


@dataclass
class GitHub(GitHubServer):
    """GitHub with one repository, and runners."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.on("POST", "/repos/example/shop/git/refs", lambda call: self.signed_in(call) or self.push(call))

    def push(self, call: Call) -> Answer:
        """A tag that is new starts the workflow of tags."""
        ref, sha = str(call.body["ref"]), str(call.body["sha"])
        if not ref.startswith("refs/tags/v"):
            return 422, {"message": "Reference does not exist"}
        if any(run["head_branch"] == ref.removeprefix("refs/tags/") for run in self.runs if "head_branch" in run):
            return 422, {"message": "Reference already exists"}
        run = {
            "id": len(self.runs) + 1,
            "name": "Release",
            "event": "push",
            "head_branch": ref.removeprefix("refs/tags/"),
            "head_sha": sha,
            "status": "in_progress",
            "conclusion": None,
            "created_at": stamp(datetime.now(UTC)),
        }
        self.runs.append(run)
        self.working = asyncio.get_running_loop().create_task(self.work(run))
        return 201, {"ref": ref, "object": {"type": "commit", "sha": sha}}

    async def work(self, run: dict[str, Any]) -> None:
        """Run the steps of the workflow, one after the other, until one fails."""
        tag, conclusion = run["head_branch"], "success"
        tell("GitHub", f"run {run['id']} of release.yml: {tag} was pushed")
        known = {
            **{f"vars.{name}": value for name, value in VARIABLES.items()},
            **{f"secrets.{file.name}": file.read_text().strip() for file in SECRETS.glob("*")},
            "github.ref_name": tag,
        }
        job = YAML(typ="safe").load(WORKFLOWS / "release.yml")["jobs"]["release"]
        with tempfile.TemporaryDirectory() as folder:
            for step in job["steps"]:
                if "run" not in step or step["run"].startswith(INSTALLS):
                    continue
                tell("GitHub", f"run {run['id']}: {step['name']}")
                code = await self.run_step(run, step["run"], environment(job["env"], known, run, Path(folder)))
                if code:
                    conclusion = "failure"
                    break
        run |= {"status": "completed", "conclusion": conclusion, "updated_at": stamp(datetime.now(UTC))}
        tell("GitHub", f"run {run['id']} ended: {conclusion}")

    async def run_step(self, run: dict[str, Any], script: str, variables: dict[str, str]) -> int:
        """Run a step as a runner does; its exit code."""
        step = await asyncio.create_subprocess_exec(
            *("bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script),
            env=variables,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        assert step.stdout is not None
        async for line in step.stdout:
            tell("GitHub", f"run {run['id']}:   {line.decode(errors='replace').rstrip()}")
        return await step.wait()


def environment(env: dict[str, str], known: dict[str, str], run: dict[str, Any], folder: Path) -> dict[str, str]:
    """What a step of the workflow sees: its own variables, and those that a runner sets."""
    said = {name: EXPRESSION.sub(lambda found: known.get(found[1], ""), str(text)) for name, text in env.items()}
    ours = {name: value for name, value in os.environ.items() if not name.startswith("INTERLOCK_")}
    return {
        **ours,
        "CI": "true",
        "GITHUB_ACTIONS": "true",
        "GITHUB_ACTOR": "ada",
        "GITHUB_OUTPUT": str(folder / "output"),
        "GITHUB_REF_NAME": run["head_branch"],
        "GITHUB_REPOSITORY": "example/shop",
        "GITHUB_RUN_ID": str(run["id"]),
        "GITHUB_SERVER_URL": "https://github.com",
        "GITHUB_SHA": run["head_sha"],
        "GITHUB_STEP_SUMMARY": str(folder / "summary"),
        **said,
    }


if __name__ == "__main__":
    serve(GitHub, port=PORTS["github"])
