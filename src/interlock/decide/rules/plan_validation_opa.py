"""# planValidationOpa: a second opinion on a plan

A deployment plan shows what a version would change before it exists (`interlock plan`). This rule has every result of
a plan judged by a policy in Rego v1; what its `deny` holds are the violations that are shown beside the result.

```yaml
rules:
  - planValidationOpa:
      name: no-privileged-containers
      description: Containers must not run privileged.
      rego: |
        package deploy
        deny contains msg if {
          contains(input.proposed, "privileged: true")
          msg := sprintf("%s would run privileged on %s", [input.deployment.name, input.resource.name])
        }
```

It is advice: it **blocks nothing**, and no round asks it. The package's name is yours. `input` has `current` and
`proposed` (rendered text, `current` empty where nothing runs), `hasChanges`, `agentType`, `deployment`, `environment`,
`resource`, `proposedVersion` and `currentVersion` (null where nothing runs).

Each result says `passed`, `failed` with the violations, `errored` with the reason (a rule that does not compile, that
took too long or that asks for something that would answer differently tomorrow: time, randomness, the network), or
`unsupported` where this installation has no Rego: `pip install interlock[rego]`. One rule's error does not touch the
others'.

Source: reference-behaviour.md 4.13; https://www.openpolicyagent.org/docs/policy-language (Rego v1).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from interlock.model.wire import Fields

kind = "planValidationOpa"
shape = "advice"
needs: frozenset[str] = frozenset()

REASONS: dict[str, str] = {}

REGO_MAX = 100_000
NAME_MAX = 200

_PACKAGE = re.compile(r"^\s*package\s+\S", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Params:
    """A name for people, and the policy's text."""

    name: str
    rego: str


def parse(fields: Fields) -> Params:
    """Read the rule's object. Faults are left in `fields`; what does not compile is told where it is evaluated."""
    params = Params(
        name=fields.text("name", required=True, maximum=NAME_MAX),
        rego=fields.text("rego", required=True, maximum=REGO_MAX),
    )
    fields.text("description")
    if params.rego.strip() and not _PACKAGE.search(params.rego):
        fields.wrong("rego", "must begin with a package")
    return params
