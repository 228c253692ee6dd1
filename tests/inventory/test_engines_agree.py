"""Do Google's CEL and the generated Python say the same of every selector and every resource?"""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from interlock.inventory import engine
from interlock.inventory.selector import Scope, Selector, parse_selector
from interlock.inventory.to_python import matches, sieve
from inventory.expressions import resources, selectors


def reference(selector: Selector, resource: dict[str, object]) -> bool:
    return engine.evaluate(selector.checked, selector.variables, {"resource": resource}) is True


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(selectors, st.lists(resources, min_size=1, max_size=6))
def test_generated_python_agrees_with_the_reference(text: str, found: list[dict[str, object]]) -> None:
    selector = parse_selector(text, Scope.RESOURCE)
    expected = [reference(selector, one) for one in found]
    assert [matches(selector, {"resource": one}) for one in found] == expected
    assert sieve(selector)(found) == [one for one, kept in zip(found, expected, strict=True) if kept]
