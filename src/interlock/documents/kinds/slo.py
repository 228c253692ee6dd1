"""Slo: what a service promises, how that is measured, and for which deployments.

```yaml
type: Slo
name: checkout-availability
target: 99.9
windowDays: 30
provider: {type: prometheus, address: https://prometheus.example.com}
total: sum(increase(http_requests_total{service="checkout"}[{{.window}}]))
bad: sum(increase(http_requests_total{service="checkout",code=~"5.."}[{{.window}}])) or vector(0)
deployments: [checkout]
```

Where its error budget stands is no part of a document.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from interlock.documents.kind import Body, Kind, Named, Standing, Write
from interlock.documents.kinds.keys import DESCRIPTION, SELECTOR, name_key, picked
from interlock.documents.server import Server, path
from interlock.documents.shapes import NAME, Anything, Key, List, Map, Number, Whole
from interlock.judge.slo import DAYS, DAYS_DEFAULT, EVENTS_DEFAULT, EVENTS_MAX, INTERVAL_S, INTERVAL_S_DEFAULT

WIRE = (
    *("name", "description", "target", "windowDays", "provider", "total", "good", "bad"),
    *("intervalSeconds", "minEvents", "selector"),
)
A_SIDE = "a query (of http: CEL over `result`), or an object of `query`, `provider` and `value`."


def load(server: Server, names: frozenset[str] | None) -> Iterable[Standing]:
    """Every objective, with the deployments that it names."""
    for row in server.client.list_slos():
        if names is None or row["name"] in names:
            body = {**picked(row, *WIRE), "deployments": [each["name"] for each in row["deployments"]]}
            yield Standing(row["id"], row["name"], body, row)


def write(server: Server, body: Body, standing: Standing | None, identity: str) -> Sequence[Write]:
    """Put it, or create it: the server chooses its id."""
    _ = server, identity
    sent = {**picked(body, *WIRE), "deployments": list(body.get("deployments") or ())}
    if standing is None:
        return [Write("POST", "slos", sent)]
    return [Write("PUT", path("slos", standing.id), sent)]


def remove(server: Server, standing: Standing) -> Sequence[Write]:
    """Delete it."""
    _ = server
    return [Write("DELETE", path("slos", standing.id))]


def named(body: Body) -> Iterable[Named]:
    """The deployments that it names."""
    for number, name in enumerate(body.get("deployments") or ()):
        yield Named(("deployments", number), "Deployment", name)


def in_order(body: Body) -> Body:
    """Deployments in an order of their own."""
    return {**body, "deployments": sorted(set(body.get("deployments") or ()))}


KIND = Kind(
    name="Slo",
    about="What a service promises, how that is measured, and for which deployments.",
    keys={
        "name": name_key("Its name."),
        "description": DESCRIPTION,
        "target": Key(Number(), "Per cent of events that are good, as in 99.9; below 100.", required=True),
        "windowDays": Key(Whole(*DAYS), "Over how many days.", default=DAYS_DEFAULT),
        "provider": Key(Map(), "Who is asked: prometheus, datadog or http, with its keys.", required=True),
        "total": Key(Anything(), f"How many events: {A_SIDE}", required=True),
        "good": Key(Anything(), f"How many good ones: {A_SIDE}"),
        "bad": Key(Anything(), f"How many bad ones, in place of `good`: {A_SIDE}"),
        "intervalSeconds": Key(Whole(*INTERVAL_S), "How often it is read.", default=INTERVAL_S_DEFAULT),
        "minEvents": Key(Whole(1, EVENTS_MAX), "Fewer events say nothing.", default=EVENTS_DEFAULT),
        "deployments": Key(List(NAME), "Whom it covers, by name.", default=[]),
        "selector": Key(SELECTOR, "CEL over `deployment`: whom it covers besides."),
    },
    load=load,
    write=write,
    remove=remove,
    names=named,
    settle=in_order,
    one_of=(("good", "bad"),),
)
