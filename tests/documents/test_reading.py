"""What odd texts are: read as YAML 1.2 says, or refused with a sentence."""

from __future__ import annotations

import pytest

from interlock.documents import reading
from interlock.documents.reading import parse_text


def read(text: str) -> tuple[list[dict[str, object]], list[str]]:
    faults: list[str] = []
    return [dict(each.body) for each in parse_text("f", text, faults)], faults


def test_anchors_and_merges_are_what_they_stand_for() -> None:
    text = "type: System\nname: a\nmetadata: &m {team: shop, tier: '1'}\n---\ntype: System\nname: b\n"
    assert read(text)[0][0]["metadata"] == {"team": "shop", "tier": "1"}
    merged = "type: JobAgent\nname: a\nagentType: exec\nconfig:\n  one: &x {a: 1, b: 2}\n  two: {<<: *x, b: 3}\n"
    ((found,), faults) = read(merged)
    assert faults == []
    assert found["config"] == {"one": {"a": 1, "b": 2}, "two": {"a": 1, "b": 3}}


def test_json_is_read_also_with_tabs_and_as_a_list() -> None:
    found, faults = read('[\n\t{"type": "System",\n\t"name": "a"},\n\t{"type": "System", "name": "\\u00fc\\/"}\n]')
    assert ([each["name"] for each in found], faults) == (["a", "ü/"], [])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("type: System\nname: a\nname: b\n", 'f:3: this is no YAML: found duplicate key "name"'),
        ("type: System\nname: !include x\n", "f:1: the tag !include has no meaning here."),
        ("type: System\nname: a\nmetadata: !env {a: b}\n", "f:1: the tag !env has no meaning here."),
        ("type: JobAgent\nname: a\nagentType: x\nconfig: {a: .nan}\n", "f:4: config.a must be a finite number."),
        ("type: System\nname: &a [*a]\n", "f"),
        ("\ttype: System", "f:1: this is no YAML"),
        ("type: System\nname: a\x00", "f"),
        ("just text", "f: a document must be an object"),
        ("<html>\n<p>a: b: c", "f"),
    ],
)
def test_what_cannot_be_meant_is_refused(text: str, said: str) -> None:
    found, faults = read(text)
    assert found == []
    assert faults[0].startswith(said), faults


def test_an_alias_of_an_alias_of_an_alias_is_not_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "NODES_MAX", 10_000)
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    text = "type: JobAgent\nname: a\nagentType: x\nconfig:\n" + "".join(f"  {line}\n" for line in lines)
    assert read(text) == ([], ["f:1: this is too large or too deep; an alias may hold itself."])
