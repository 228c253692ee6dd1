"""What does a policy in Rego say, and what happens to one that must not be asked?"""

from __future__ import annotations

import pytest

from interlock.outside import rego
from interlock.outside.rego import Rego

pytestmark = pytest.mark.skipif(not rego.has_rego(), reason="the extra [rego] is not installed")

BIG = 'package deploy.limits\ndeny contains msg if { input.size > 3; msg := sprintf("%d is too big", [input.size]) }'
HANGS = """package a
deny contains "never" if {
  some i in numbers.range(1, 3000); some j in numbers.range(1, 3000); some k in numbers.range(1, 3000)
  i * j * k == -1
}"""

# policy, status, what it says
OPINIONS = [
    ("it denies", BIG, "failed", "4 is too big"),
    ("it denies nothing", BIG.replace("> 3", "> 4"), "passed", ""),
    ("it denies with an object", 'package a\ndeny contains {"why": "no"} if true', "failed", "{'why': 'no'}"),
    ("it does not compile", "package a\ndeny[x] { x := ", "errored", "error"),
    ("it defines no deny", "package a\nallow if true", "errored", "defines no `deny`"),
    ("its deny is no set", 'package a\ndeny := "text"', "errored", "must be a set"),
    ("it asks for the time", "package a\ndeny contains m if { m := time.now_ns() }", "errored", "time.now_ns"),
    ("it only speaks of it", 'package a\n# http.send\ndeny contains "http.send" if true', "failed", "http.send"),
    ("it hangs", HANGS, "errored", "longer than 1 s"),
]


@pytest.mark.parametrize(("what", "policy", "status", "says"), OPINIONS, ids=[one[0] for one in OPINIONS])
async def test_an_opinion(what, policy, status, says):
    (opinion,) = await Rego(timeout_s=1).ask([policy], {"size": 4})
    assert opinion.status == status and opinion.passed is (status == "passed")
    assert says in f"{opinion.message}{''.join(map(str, opinion.violations))}"
    assert "Stack backtrace" not in opinion.message


async def test_one_that_errs_does_not_touch_the_others():
    found = await Rego(timeout_s=5).ask(["package a\n(", BIG], {"size": 9})
    assert [one.status for one in found] == ["errored", "failed"]


async def test_without_the_extra_each_says_unsupported(monkeypatch):
    monkeypatch.setattr(rego, "has_rego", lambda: False)
    found = await Rego().ask([BIG, BIG], {"size": 9})
    assert [one.status for one in found] == ["unsupported", "unsupported"]
