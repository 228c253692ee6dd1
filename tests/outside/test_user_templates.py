"""Can a text that a user wrote do anything but fill in, choose and walk?"""

from __future__ import annotations

import time

import pytest

from interlock.model.errors import Invalid, Rejected
from interlock.outside.user_templates import OUTPUT_MAX, check_template, render_template


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{{ headline }}", "Halted"),
        ("{{ body.failed }} of {{ body['n'] }}", "2 of 5"),
        ("{% if body.failed > 1 %}many{% else %}few{% endif %}", "many"),
        ("{% for each in body.names %}{{ each | upper }} {% endfor %}", "A B "),
        ("{{ missing | default('-') }}{{ missing }}", "-"),
        ("{{ headline | tojson }}", '"Halted"'),
        ("{{ 'a' ~ 'b' }}", "ab"),
    ],
)
def test_what_templates_can_say(text: str, said: str) -> None:
    check_template(text, field="t")
    context = {"headline": "Halted", "body": {"failed": 2, "n": 5, "names": ["a", "b"]}}
    assert render_template(text, context, field="t") == said


@pytest.mark.parametrize(
    "text",
    [
        "{{ headline.upper() }}",
        "{{ range(10) }}",
        "{{ ''.__class__ }}",
        "{{ body.__init__ }}",
        "{{ 9 ** 9 ** 9 }}",
        "{{ 'a' * 1000000000 }}",
        "{{ 1 + 1 }}",
        "{% set x = 1 %}",
        "{% macro m() %}{% endmacro %}",
        "{% include 'x' %}",
        "{% import 'x' as x %}",
        "{% for a in body recursive %}{{ loop(a) }}{% endfor %}",
        "{% for a in x %}{% for b in x %}{% for c in x %}{% endfor %}{% endfor %}{% endfor %}",
        "{{ x | replace('a', 'b') }}",
        "{{ x | join(y) }}",
        "{{ x | attr('__class__') }}",
        "{{ x | default('" + "a" * 60 + "') }}",
        "{{ x is divisibleby 3 }}",
        "{{ unclosed",
        "{% if %}",
        "a" * 10_001,
        "{{ " + "(" * 500 + "x" + ")" * 500 + " }}",
        "{{ x[1:5] }}",
        "{{ [1, 2] }}",
        "{% raw %}{% endraw %}{% block x %}{% endblock %}",
    ],
)
def test_what_templates_cannot_say_is_refused_when_it_is_written(text: str) -> None:
    with pytest.raises(Invalid) as refused:
        check_template(text, field="templates.x")
    assert [each.path for each in refused.value.fields] == ["templates.x"]


def test_the_longest_loops_end_soon_and_what_gets_too_long_is_refused() -> None:
    many = {"x": ["a" * 5_000] * 100_000}
    began_s = time.process_time()
    with pytest.raises(Rejected, match="longer than"):
        render_template("{% for a in x %}{% for b in x %}{{ a }}{% endfor %}{% endfor %}", many, field="t")
    quiet = "{% for a in x %}{% for b in x %}{% if a == b and a == 'z' %}{{ a }}{% endif %}{% endfor %}{% endfor %}"
    assert render_template(quiet, many, field="t") == ""
    assert time.process_time() - began_s < 5
    assert len(render_template("{{ " + " ~ ".join(["x[0]"] * 30) + " }}", many, field="t")) <= OUTPUT_MAX


@pytest.mark.parametrize("text", ["{{ body.a.b.c }}", "{{ body['a'] > 1 }}", "{{ body | round }}"])
def test_what_fails_when_it_is_filled_in_is_said(text: str) -> None:
    with pytest.raises(Rejected, match=r"^templates\.x: the template fails"):
        render_template(text, {"body": {"a": "text"}}, field="templates.x")
