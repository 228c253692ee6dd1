"""What does metadata say of a change, and which of it is refused? A table of keys and texts."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from interlock.model import version_facts as module
from interlock.model.errors import Invalid
from interlock.model.version_facts import Artifact, VersionFacts, parse_version_facts, version_facts

SHA = "sha256:" + "0a" * 32
SHA512 = "sha512:" + "0b" * 64

SAID = [
    ({}, VersionFacts()),
    ({"team": "shop", "interlock/other": "x"}, VersionFacts()),
    ({"interlock/author": " ann@example.com "}, VersionFacts(author="ann@example.com")),
    *(({"interlock/change-type": kind}, VersionFacts(change_type=kind)) for kind in module.CHANGE_TYPES),
    *(({"interlock/risk": risk}, VersionFacts(risk=risk)) for risk in module.RISKS),
    ({"interlock/commits": "9F2C1D4e, 77ab01c3\nabcdef0"}, VersionFacts(commits=("9f2c1d4e", "77ab01c3", "abcdef0"))),
    ({"interlock/commit": "9f2c1d4"}, VersionFacts(commits=("9f2c1d4",))),
    ({"interlock/commits": "9f2c1d4", "interlock/commit": "abcdef0"}, VersionFacts(commits=("9f2c1d4",))),
    *(
        ({"interlock/pull-request": text}, VersionFacts(pull_request=text))
        for text in ("https://git.example.com/a/b/pull/12", "shop/api#12", "#12", "12", "group/sub/name!7")
    ),
    ({"interlock/artifacts": SHA}, VersionFacts(artifacts=(Artifact("", SHA),))),
    (
        {"interlock/artifacts": f"registry.example.com/shop/api@{SHA}, chart={SHA512}"},
        VersionFacts(artifacts=(Artifact("registry.example.com/shop/api", SHA), Artifact("chart", SHA512))),
    ),
]


@pytest.mark.parametrize(("metadata", "facts"), SAID, ids=[str(one[0])[:60] for one in SAID])
def test_reads_what_is_said(metadata, facts):
    assert parse_version_facts(metadata) == facts
    assert version_facts(metadata) == facts


REFUSED = [
    ("interlock/author", "", "a name on one line"),
    ("interlock/author", "ann\nbob", "a name on one line"),
    ("interlock/author", "a" * 501, "at most 500 characters"),
    ("interlock/change-type", "Migration", "one of code, config, infra, migration, fix, security, rollback"),
    ("interlock/change-type", "", "one of code"),
    ("interlock/risk", "urgent", "one of low, medium, high, critical"),
    ("interlock/commits", "", "commits of 7 to 64"),
    ("interlock/commits", "9f2c1d4 main", "commits of 7 to 64"),
    ("interlock/commits", "9f2c1d", "commits of 7 to 64"),
    ("interlock/commits", " ".join(["9f2c1d4"] * 251), "commits of 7 to 64"),
    ("interlock/commit", "HEAD", "commits of 7 to 64"),
    ("interlock/pull-request", "javascript:alert(1)", "a URL, owner/name#12 or #12"),
    ("interlock/pull-request", "twelve", "a URL"),
    ("interlock/pull-request", f"https://e.example/{'a' * 500}", "a URL"),
    ("interlock/artifacts", "", "digests as in"),
    ("interlock/artifacts", "shop-api:1.4.0", "digests as in"),
    ("interlock/artifacts", f"{SHA} latest", "digests as in"),
    ("interlock/artifacts", "sha256:abc", "digests as in"),
    ("interlock/artifacts", " ".join([SHA] * 251), "digests as in"),
]


@pytest.mark.parametrize(("key", "text", "allowed"), REFUSED)
def test_refuses_what_is_malformed_and_says_what_is_allowed(key, text, allowed):
    with pytest.raises(Invalid) as refused:
        parse_version_facts({key: text, "team": "shop"})
    (fault,) = refused.value.fields
    assert fault.path == f'metadata["{key}"]'
    assert allowed in fault.message
    assert version_facts({key: text}) == VersionFacts()


def test_all_faults_are_told_together_and_the_rest_is_read():
    metadata = {"interlock/risk": "big", "interlock/change-type": "fix", "interlock/author": ""}
    with pytest.raises(Invalid) as refused:
        parse_version_facts(metadata)
    assert {one.path for one in refused.value.fields} == {'metadata["interlock/author"]', 'metadata["interlock/risk"]'}
    assert version_facts(metadata) == VersionFacts(change_type="fix")


def test_rules_see_what_was_said_and_nothing_else():
    assert version_facts({}).view == {}
    said = {
        "interlock/author": "ann",
        "interlock/change-type": "fix",
        "interlock/commits": "9f2c1d4",
        "interlock/pull-request": "#1",
        "interlock/artifacts": f"api@{SHA}",
        "interlock/risk": "low",
    }
    assert version_facts(said).view == {
        "author": "ann",
        "type": "fix",
        "commits": ["9f2c1d4"],
        "pullRequest": "#1",
        "artifacts": [SHA],
        "risk": "low",
    }


def test_the_words_of_rules_are_those_that_can_be_said():
    from interlock.inventory.scope import FIELDS_BY_ROOT

    everything = VersionFacts("a", "fix", ("c",), "#1", (Artifact("", SHA),), "low")
    assert set(everything.view) == set(FIELDS_BY_ROOT["change"])


def test_the_guide_names_every_key_and_every_word():
    guide = (Path(__file__).parents[2] / "docs" / "guides" / "version-facts.md").read_text()
    for key in (
        module.AUTHOR,
        module.CHANGE_TYPE,
        module.COMMITS,
        module.COMMIT,
        module.PULL_REQUEST,
        module.ARTIFACTS,
    ):
        assert f"`{key}`" in guide
    assert set(module.CHANGE_TYPES) | set(module.RISKS) <= set(re.findall(r"`(\w+)`", guide))
