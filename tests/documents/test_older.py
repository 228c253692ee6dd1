"""Documents of older command lines: what they say is what today's say."""

from __future__ import annotations

import pytest

from interlock.documents.meaning import find_faults
from interlock.documents.reading import parse_text

SAME = [
    ("kind: System\nname: a\nslug: a", "type: System\nname: a"),
    (
        "type: Environment\nname: a\nresourceSelector: {cel: resource.kind == 'Host'}",
        "type: Environment\nname: a\nresourceSelector: resource.kind == 'Host'",
    ),
    (
        "type: Deployment\nname: a\nslug: a\njobAgent: {ref: runner, config: {repo: x}}",
        "type: Deployment\nname: a\njobAgent: runner\njobAgentConfig: {repo: x}",
    ),
    ("type: Deployment\nname: a\njobAgentId: 1f", "type: Deployment\nname: a\njobAgent: 1f"),
    (
        "type: JobAgent\nname: a\nconfig: {type: test-runner, delaySeconds: 1}",
        "type: JobAgent\nname: a\nagentType: test-runner\nconfig: {delaySeconds: 1}",
    ),
    ("kind: JobAgent\ntype: test-runner\nname: a", "type: JobAgent\nagentType: test-runner\nname: a"),
    (
        (
            "type: Policy\nname: a\nselectors:\n- {environments: environment.name == 'p', deployments: 'true'}\n"
            "- resourceSelector: {cel: resource.kind == 'Host'}\n  deployments: deployment.name == 'd'"
        ),
        (
            "type: Policy\nname: a\nselector: (environment.name == 'p') || ((deployment.name == 'd') && "
            "(resource.kind == 'Host'))"
        ),
    ),
    (
        (
            "type: Policy\nname: a\nrules:\n"
            "- environmentProgression: {dependsOnEnvironmentSelector: {cel: environment.name == 's'}, "
            "minimumSockTimeMinutes: 5}\n"
            "- deploymentWindow: {allow: false, duration: 1h30m, rrule: FREQ=DAILY, timezone: UTC}\n"
            "- versionCooldown: {duration: 5m}\n"
            "- gradualRollout: {timeScaleInterval: 2m}\n"
            "- verification: {metrics: [{name: m, interval: 30s, count: 1, successCondition: result.ok, "
            "provider: {type: sleep}}]}"
        ),
        (
            "type: Policy\nname: a\nrules:\n"
            "- environmentProgression: {dependsOnEnvironmentSelector: environment.name == 's', "
            "minimumSoakTimeMinutes: 5}\n"
            "- deploymentWindow: {allowWindow: false, durationMinutes: 90, rrule: FREQ=DAILY, timezone: UTC}\n"
            "- versionCooldown: {intervalSeconds: 300}\n"
            "- gradualRollout: {rolloutType: linear, timeScaleInterval: 120}\n"
            "- verification: {metrics: [{name: m, intervalSeconds: 30, count: 1, successCondition: result.ok, "
            "provider: {type: sleep}}]}"
        ),
    ),
    (
        (
            "kind: RelationshipRule\nname: a\nreference: r\nfromType: resource\ntoType: resource\n"
            "matcher: {cel: from.kind == to.kind}"
        ),
        "type: RelationshipRule\nname: a\nreference: r\ncel: from.kind == to.kind",
    ),
    (
        "type: VariableSet\nname: a\nselector: 'true'\nvariables: [{key: b, value: 1}]",
        "type: VariableSet\nname: a\nselector: 'true'\nvariables: {b: 1}",
    ),
]


@pytest.mark.parametrize(("older", "todays"), SAME)
def test_an_older_document_says_what_todays_says_and_a_note_tells_the_word(older: str, todays: str) -> None:
    faults: list[str] = []
    (one,), (other,) = parse_text("old", older, faults), parse_text("new", todays, faults)
    assert faults == []
    assert one.kind.whole(one.body) == other.kind.whole(other.body)
    assert one.notes and not other.notes
    assert all(note.startswith("old:") for note in one.notes)
    assert list(find_faults(one)) == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("type: Environment\nname: a\nresourceSelector: {json: {type: kind}}", "old:3: resourceSelector by JSON"),
        ("type: RelationshipRule\nname: a\nreference: r\ntoSelector: {cel: x}", "old:4: toSelector has no place"),
        ("kind: Wheel\nname: a", "old:1: a document needs a `type`"),
        ("type: Resorce\nname: a", "old:1: unknown type Resorce; did you mean Resource."),
        ("type: System\nname: a\ndescripton: x", "old:3: System has no descripton; did you mean description."),
    ],
)
def test_what_has_no_equal_today_is_refused_with_what_to_write(text: str, said: str) -> None:
    faults: list[str] = []
    assert parse_text("old", text, faults) == []
    assert any(each.startswith(said) for each in faults), faults


def test_a_resources_own_kind_is_not_taken_for_the_documents() -> None:
    faults: list[str] = []
    text = "type: Resource\nidentifier: a\nname: a\nkind: System\nversion: v1"
    (found,) = parse_text("new", text, faults)
    assert (found.type, found.body["kind"], found.notes) == ("Resource", "System", ())
