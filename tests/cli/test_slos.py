"""Objectives from the command line: applied from files, listed, their budgets read aloud, ended."""

from __future__ import annotations

import json
from pathlib import Path

from cli.conftest import Interlock
from cli.test_shapes import faults
from interlock.client import Client, shapes

FILES = """
type: System
name: shop
---
type: Deployment
name: shop-api
system: shop
resourceSelector: "false"
metadata: {interlock/tier: "1"}
---
type: Slo
name: checkout
target: 99.9
windowDays: 28
provider: {type: prometheus, address: "http://127.0.0.1:9", authentication: {bearerToken: hush-hush}}
total: sum(increase(requests_total[{{.window}}]))
bad: {query: "sum(increase(bad_total[{{ window }}])) or vector(0)"}
deployments: [shop-api]
---
type: Policy
name: budgets
rules:
  - errorBudget: {}
"""


def test_objectives_are_applied_shown_and_ended(interlock: Interlock, client: Client, tmp_path: Path) -> None:
    path = tmp_path / "shop.yaml"
    path.write_text(FILES)
    interlock("apply", "-f", str(path))
    again = interlock("apply", "-f", str(path), "--dry-run")
    assert "nothing" in again.output.lower() or "0 to" in again.output.lower() or "unchanged" in again.output.lower()
    (slo,) = client.list_slos()
    assert faults(slo, shapes.Slo, "slo") == []
    assert [each["name"] for each in slo["covers"]] == ["shop-api"]
    readings = client.list_slo_readings("checkout")
    assert faults(readings, shapes.SloReadings, "readings") == []
    listed = interlock("get", "slos")
    assert "99.9 % of 28 d" in listed.output and "shop-api" in listed.output
    told = interlock("budget", "shop-api")
    assert "checkout" in told.output and "unknown" in told.output, told.output
    assert json.loads(interlock("budget", "shop-api", "-o", "json").output)[0]["name"] == "checkout"
    described = interlock("describe", "slo", "checkout")
    assert "sum(increase(requests_total[{{.window}}]))" in described.output
    path.write_text(FILES.replace("windowDays: 28", "windowDays: 2"))
    assert "windowDays must be from 7 to 90" in interlock("apply", "-f", str(path), fails=True).output
    path.write_text(FILES.replace("target: 99.9", "target: 100"))
    assert "below 100" in interlock("apply", "-f", str(path), fails=True).output
    assert interlock("delete", "slo", "checkout", "--yes").exit_code == 0
    nothing = interlock("budget", "shop-api", fails=True)
    assert "No objective covers shop-api" in nothing.output
    assert "There is no deployment named shop-apy." in interlock("budget", "shop-apy", fails=True).output
    unknown = interlock("saturation", "report", "shop-api", "pool", "nan", fails=True)
    assert "VALUE must be a finite number" in unknown.output
    wrong = interlock("saturation", "report", "shop-api", "pool", "1", "--fresh-for", "soon", fails=True)
    assert "--fresh-for: soon is not a duration" in wrong.output
