"""Are manifests filled as Go fills them, and does no template take the machine with it?"""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from interlock.model.errors import Invalid, Rejected, Unavailable
from interlock.outside.go_templates import RENDERED_CHARS_MAX, SOURCE_CHARS_MAX, GoTemplates, check_template

CONTEXT = {
    "resource": {"name": "prod-eu-1", "config": {"cluster": {"url": "https://k.example"}}, "metadata": {"a/b": "c"}},
    "version": {"tag": "v1.2.3", "metadata": {}},
    "variables": {"replicas": 3, "share": 2.0, "on": True, "list": ["a", "b"], "nothing": None},
}

# template, what Go makes of it (text/template with Sprig; checked against the Go engine)
RENDERED = [
    ("{{ .resource.name }}-{{.version.tag}}", "prod-eu-1-v1.2.3"),
    ("{{ .variables.replicas }} {{ .variables.share }} {{ .variables.on }}", "3 2 true"),
    ("[{{ .variables.nope }}]", "[<no value>]"),
    ("[{{ .nope.deeper }}]", "[<no value>]"),
    ('{{ index .resource.metadata "a/b" }}', "c"),
    ('{{ .variables.nope | default "x" | quote }}', '"x"'),
    ("{{ range $i, $e := .variables.list }}{{ $i }}={{ $e }};{{ end }}", "0=a;1=b;"),
    ("{{- with .resource.config.cluster }} {{ .url }} {{- end }}", " https://k.example"),
    ("a:{{ toYaml .resource.config | nindent 2 }}", "a:\n  cluster:\n    url: https://k.example"),
    ('{{ if semverCompare ">=1.2.0" .version.tag }}new{{ else }}old{{ end }}', "new"),
    ('{{ define "x" }}<{{ . }}>{{ end }}{{ template "x" .version.tag }}', "<v1.2.3>"),
    ('{{ printf "%05.2f %q %v" 3.14159 "a" true }}', '03.14 "a" true'),
    ("{{ .variables.list | toJson }}", '["a","b"]'),
    ('{{ "x" | b64enc }} {{ ternary "a" "b" .variables.on }}', "eA== a"),
    ("no braces", "no braces"),
    ("", ""),
]

# template, what its refusal says
WRONG = [
    ("a\n{{ .resource.name", "line 2"),
    ("{{ nobody . }}", "'nobody' not defined"),
    ("{{ end }}", "line 1"),
    ('{{ env "HOME" }}', "'env' not defined"),
]
FAILING = [
    ("a\nb {{ index .variables.list 9 }}", "line 2"),
    ('{{ fail "no replicas" }}', "no replicas"),
    ('{{ required "a name is needed" .nope }}', "a name is needed"),
    ('{{ template "nobody" . }}', "nobody"),
    ('{{ getHostByName "localhost" }}', "getHostByName is not available here"),
    ('{{ lookup "v1" "Secret" "" "x" }}', "lookup is not available here"),
    ('{{ repeat 100000000 "a" }}', "repeat would make more than"),
    ("{{ untilStep 0 100000000 1 | len }}", "untilStep would make more than"),
    ("{{ until 100000000 | len }}", "until would make more than"),
    ('{{ define "a" }}{{ template "a" . }}{{ end }}{{ template "a" . }}', "template-depth budget"),
]


@pytest.fixture
async def templates():
    made = GoTemplates()
    yield made
    await made.close()


async def test_renders_as_go_does(templates):
    for source, expected in RENDERED:
        assert await templates.render(source, CONTEXT, field="config.template") == expected, source
        if source:
            check_template(source, field="config.template")


@pytest.mark.parametrize(("source", "said"), [*WRONG, ("", "must be a text"), (7, "must be a text")])
def test_what_cannot_be_read_is_refused_when_it_is_written(source, said):
    with pytest.raises(Invalid, match=r"config\.template") as refused:
        check_template(source, field="config.template")
    assert said in refused.value.message
    assert [one.path for one in refused.value.fields] == ["config.template"]


async def test_what_cannot_be_filled_fails_with_its_reason(templates):
    for source, said in (*WRONG, *FAILING):
        with pytest.raises(Rejected, match=r"config\.template: ") as refused:
            await templates.render(source, CONTEXT, field="config.template")
        assert said in refused.value.message, source
    assert await templates.render("{{ .version.tag }}", CONTEXT, field="t") == "v1.2.3", "the next one is not touched"


async def test_a_template_that_takes_too_long_is_ended_and_the_next_one_works():
    templates = GoTemplates(timeout_s=0.02)
    long = "{{ range until 900 }}{{ range until 900 }}{{ end }}{{ end }}"
    with pytest.raises(Rejected, match=r"took longer than 0\.02 s to render, and was ended"):
        await templates.render(long, CONTEXT, field="t")
    await templates.close()


async def test_more_steps_than_a_manifest_can_need_are_refused(templates):
    with pytest.raises(Rejected, match="iteration"):
        await templates.render("{{ range until 9999 }}{{ range until 9999 }}{{ end }}{{ end }}", CONTEXT, field="t")
    assert await templates.render("{{ .version.tag }}", CONTEXT, field="t") == "v1.2.3"


async def test_what_grows_without_end_is_refused(templates):
    with pytest.raises(Rejected, match="t: "):
        await templates.render('{{ range until 9999 }}{{ repeat 9999 "a" }}{{ end }}', CONTEXT, field="t")
    with pytest.raises(Invalid, match="characters at most"):
        check_template("a" * (SOURCE_CHARS_MAX + 1), field="t")
    with pytest.raises(Rejected, match="characters at most"):
        await templates.render("a" * (SOURCE_CHARS_MAX + 1), CONTEXT, field="t")
    assert len(await templates.render("{{ .x }}", {"x": "a" * RENDERED_CHARS_MAX}, field="t")) == RENDERED_CHARS_MAX


async def test_many_at_once_get_each_its_own(templates):
    many = [templates.render("{{ .n }}", {"n": n}, field="t") for n in range(50)]
    assert await asyncio.gather(*many) == [str(n) for n in range(50)]


async def test_a_child_that_died_is_replaced(templates):
    assert await templates.render("a", {}, field="t") == "a"
    templates._child.kill()
    await templates._child.wait()
    assert await templates.render("b", {}, field="t") == "b"


async def test_a_caller_who_gives_up_leaves_no_answer_behind(templates):
    assert await templates.render("a", {}, field="t") == "a"
    slow = asyncio.create_task(templates.render("{{ range until 99999 }}{{ end }}late", {}, field="t"))
    await asyncio.sleep(0.005)
    slow.cancel()
    await asyncio.gather(slow, return_exceptions=True)
    assert await templates.render("next", {}, field="t") == "next"


async def test_a_caller_who_gives_up_while_the_child_starts_leaves_no_answer_behind():
    templates = GoTemplates()
    first = asyncio.create_task(templates.render("first", {}, field="t"))
    while templates._child is None:  # noqa: ASYNC110 - what is waited for is not an event
        await asyncio.sleep(0.001)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    assert await templates.render("next", {}, field="t") == "next"
    assert await templates.render("then", {}, field="t") == "then"
    await templates.close()


async def test_an_answer_to_another_question_is_nobodys(templates):
    assert await templates.render("a", {}, field="t") == "a"
    templates._asked += 1  # as if one answer were still to be read
    with pytest.raises(Unavailable, match="lost count"):
        await templates.render("b", {}, field="t")
    assert await templates.render("c", {}, field="t") == "c"


async def test_who_is_hasty_is_served_once_the_child_is_there():
    renderer = GoTemplates()
    async with asyncio.timeout(30):
        while True:
            with contextlib.suppress(TimeoutError):
                assert await asyncio.wait_for(renderer.render("{{ .a }}", {"a": "b"}, field="f"), 0.1) == "b"
                break
    await renderer.close()
