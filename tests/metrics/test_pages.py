"""Can what the pages of providers and the guides show be pasted? Each example is taken as it stands there."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from interlock.judge.slo import SPEC, parse_slo
from interlock.metrics import METRICS, build_metrics, check_metric
from interlock.metrics.objectives import check_slo
from interlock.model.secret import Where, sealed
from interlock.model.verification import parse_metric
from interlock.outside.http import Http

DOCS = Path(__file__).resolve().parents[2] / "docs"
GUIDES = ("measuring", "canaries", "error-budgets", "incidents")


def blocks(text: str) -> Iterator[Any]:
    """What the YAML blocks of a page say."""
    for block in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL):
        yield from YAML(typ="safe").load_all(block)


def metrics_of(page: Any) -> Iterator[dict[str, Any]]:
    """The metrics of a block's rules."""
    for rule in (page.get("rules") or ()) if isinstance(page, dict) else ():
        yield from rule.get("verification", {}).get("metrics", ())


def accept(found: dict[str, Any]) -> None:
    """Take it as a policy that is written."""
    sealed(found, where=Where.RULES, seal=lambda _: "0" * 36)
    check_metric(parse_metric(found, path="metric"), build_metrics(Http()), path="metric")


@pytest.mark.parametrize("listed", METRICS, ids=lambda provider: provider.kind)
def test_the_example_of_a_providers_page_is_a_good_metric(listed: Any) -> None:
    found = [one for page in blocks(sys.modules[listed.__module__].__doc__ or "") for one in metrics_of(page)]
    assert [one["provider"]["type"] for one in found] == [listed.kind] * len(found) != [], "nothing to copy"
    for one in found:
        accept(one)


@pytest.mark.parametrize("guide", GUIDES)
def test_the_examples_of_a_guide_are_good(guide: str) -> None:
    for page in blocks((DOCS / "guides" / f"{guide}.md").read_text()):
        for one in metrics_of(page):
            accept(one)
        if isinstance(page, dict) and page.get("type") == "Slo":
            check_slo(parse_slo({key: value for key, value in page.items() if key in SPEC}), build_metrics(Http()))
