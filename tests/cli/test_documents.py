"""What `apply` reads: YAML 1.2, several documents, lines in every refusal."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from interlock.documents.reading import read_documents
from interlock.model.errors import Invalid


def read(tmp_path, text):
    file = tmp_path / "fleet.yaml"
    file.write_text(text)
    return read_documents([str(file)])


def refusal(tmp_path, text):
    with pytest.raises(Invalid) as refused:
        read(tmp_path, text)
    return refused.value.message.replace(f"{tmp_path}/", "").splitlines()


def test_reads_several_documents_and_skips_empty_ones(tmp_path):
    found = read(tmp_path, "type: System\nname: shop\n---\n---\ntype: Environment\nname: staging\nsystem: shop\n")
    assert [(each.type, each.name, each.line) for each in found] == [
        ("System", "shop", 1),
        ("Environment", "staging", 5),
    ]


def test_words_that_older_yaml_takes_for_truth_are_text(tmp_path):
    (found,) = read(tmp_path, "type: System\nname: on\nmetadata: {enabled: no, answer: yes}\n")
    assert found.name == "on"
    assert found.body["metadata"] == {"enabled": "no", "answer": "yes"}


def test_what_was_not_written_has_the_servers_default(tmp_path):
    (found,) = read(tmp_path, "type: Policy\nname: guard\n")
    assert (found.value("selector"), found.value("enabled"), found.value("rules")) == ("true", True, [])


def test_a_date_is_text(tmp_path):
    (found,) = read(tmp_path, "type: JobAgent\nname: a\nagentType: x\nconfig: {since: 2026-01-02}\n")
    assert found.body["config"] == {"since": "2026-01-02"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("type: System\nname: [", "fleet.yaml:2"),
        ("type: Wheel\nname: a\n", "fleet.yaml:1: unknown type Wheel"),
        ("name: a\n", "fleet.yaml:1: a document needs a `type`"),
        ("- 1\n", "fleet.yaml: a document must be an object"),
        ("type: System\ndescription: x\n", "fleet.yaml:1: System needs name."),
        ("type: System\nname: a\ncolour: red\n", "fleet.yaml:3: System has no colour"),
        ("type: System\nname: 7\n", "fleet.yaml:2: name must be text (put it in quotes)."),
        (
            "type: System\nname: a\nmetadata:\n  build: 12\n",
            "fleet.yaml:4: metadata.build must be text (put it in quotes).",
        ),
        ("type: Policy\nname: a\nenabled: 'yes'\n", "fleet.yaml:3: enabled must be true or false."),
        ("type: Policy\nname: a\nrules: {}\n", "fleet.yaml:3: rules must be a list."),
        ("type: Environment\nname: a\nsystem: b\nsystems: [c]\n", "fleet.yaml:4: give system or systems, not both."),
        (
            "type: System\nname: a\n---\ntype: System\nname: a\n",
            "fleet.yaml:4: System a stands already at fleet.yaml:1.",
        ),
        ("type: ResourceProvider\nname: p\nresources:\n- name: x\n", "fleet.yaml:4: resources[0] needs identifier."),
    ],
)
def test_a_refusal_names_file_and_line(tmp_path, text, said):
    assert any(line.startswith(said) for line in refusal(tmp_path, text))


def test_every_fault_is_named_and_not_the_first_alone(tmp_path):
    assert len(refusal(tmp_path, "type: System\nname: 1\n---\ntype: Wheel\n---\ntype: Policy\n")) == 3


def test_reads_a_folder_with_all_below_it_but_what_is_hidden(tmp_path):
    (tmp_path / "b.yaml").write_text("type: System\nname: b\n")
    (tmp_path / "a.yml").write_text("type: System\nname: a\n")
    (tmp_path / "notes.txt").write_text("nothing: here\n")
    (tmp_path / "later").mkdir()
    (tmp_path / "later" / "c.json").write_text('{"type": "System",\n "name": "c"}')
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "d.yaml").write_text("type: System\nname: d\n")
    assert [each.name for each in read_documents([str(tmp_path)])] == ["a", "b", "c"]


def test_reads_a_glob_at_any_depth(tmp_path):
    (tmp_path / "x" / "y").mkdir(parents=True)
    (tmp_path / "x" / "y" / "c.yaml").write_text("type: System\nname: c\n")
    assert [each.name for each in read_documents([f"{tmp_path}/**/*.yaml"])] == ["c"]


def test_a_source_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(Invalid, match="cannot be read"):
        read_documents([str(tmp_path / "none.yaml")])
    with pytest.raises(Invalid, match="no YAML or JSON file there"):
        read_documents([f"{tmp_path}/*.yaml"])


def test_the_examples_of_the_guide_to_variables_are_what_apply_takes(tmp_path):
    from interlock.documents.meaning import check_meaning

    guide = (Path(__file__).parents[2] / "docs" / "guides" / "variables.md").read_text()
    blocks = re.findall(r"```yaml\n(.*?)```", guide, re.DOTALL)
    found = [document for text in blocks for document in read(tmp_path, text)]
    check_meaning(found)
    assert {document.type for document in found} == {"Deployment", "VariableSet", "Resource", "RelationshipRule"}


def test_a_fault_of_shape_hides_no_fault_of_meaning_elsewhere(tmp_path):
    from interlock.documents.meaning import read_checked

    (tmp_path / "a.yaml").write_text("type: Policy\nname: p\nrules:\n- anyApproval: {minApproval: 1}\n")
    (tmp_path / "b.yaml").write_text("type: System\nnmae: s\n---\ntype: Environment\nname: e\nresourceSelector: a b\n")
    with pytest.raises(Invalid) as refused:
        read_checked([str(tmp_path)])
    said = "\n".join(line.rpartition("/")[2] for line in refused.value.message.splitlines())
    assert "b.yaml:2: System has no nmae; did you mean name." in said
    assert "b.yaml:6: resourceSelector is no valid CEL" in said
    assert "a.yaml:4: rules[0].anyApproval.minApproval is not known here; did you mean minApprovals." in said
