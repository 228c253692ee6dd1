"""Selectors and resources to try on each other: generated CEL over `resource`, and views that almost fit it.

The keys and values are few, so that expressions hit, miss and clash with what is there.
"""

from __future__ import annotations

from hypothesis import strategies as st

KEYS = ["env", "team", "n", "zz"]
TEXTS = ["", "prod", "Prod", "production", "1", "01", "é", "a.b", "true", "zz"]
IDS = ["00000000-0000-4000-8000-00000000000a", "00000000-0000-4000-8000-00000000000b"]
INSTANTS = [
    "2026-01-01T00:00:00Z",
    "2026-01-01T01:00:00+01:00",
    "2026-03-29T02:30:00.123456Z",
    "2025-12-31T23:59:59.9Z",
]
NUMBERS = [-1, 0, 1, 2, 0.0, 1.0, 1.5, 2**53]


def quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


texts = st.sampled_from(TEXTS)
text_literals = texts.map(quoted)
keys = st.sampled_from(KEYS)
text_fields = st.sampled_from(["resource.kind", "resource.name", "resource.version", "resource.identifier"])
labels = keys.flatmap(
    lambda key: st.sampled_from(
        [f"resource.metadata.{key}", f'resource.metadata["{key}"]', f'resource["metadata"]["{key}"]']
    )
)
text_values = st.one_of(
    text_fields,
    labels,
    labels,
    st.just("resource.providerId"),
    text_literals,
    labels.map(lambda one: f"{one}.lowerAscii()"),
)
tree_paths = st.lists(st.one_of(keys.map(lambda key: f".{key}"), st.sampled_from(["[0]", "[1]"])), max_size=2).map(
    lambda steps: "resource.config.env" + "".join(steps)
) | keys.map(lambda key: f"resource.config.{key}")
scalars = st.one_of(
    text_literals,
    st.sampled_from(["0", "1", "2", "-1", "1.0", "0.0", "1.5", "true", "false", "null", "9007199254740992"]),
)
instants = st.one_of(
    st.sampled_from(["timestamp(resource.createdAt)", "timestamp(resource.deletedAt)"]),
    st.sampled_from(
        [f"timestamp({quoted(one)})" for one in [*INSTANTS, "2026-13-01T00:00:00Z", "2026-01-01T00:00:00.1234567Z"]]
    ),
)
orders = st.sampled_from(["<", "<=", ">", ">="])
equalities = st.sampled_from(["==", "!="])
patterns = st.sampled_from(["^prod", "prod$", "^prod$", "ro", "^p.*", "pr[o0]d", "(", "^(prod|dev)$", "\\\\d+", ".*"])


@st.composite
def atoms(draw: st.DrawFn) -> str:
    """One comparison or test."""
    shape = draw(st.integers(0, 22))
    text = draw(text_values)
    path = draw(tree_paths)
    match shape:
        case 0 | 1 | 2 | 3:
            return f"{text} {draw(equalities)} {draw(text_values)}"
        case 4:
            return f"{text} {draw(orders)} {draw(text_values)}"
        case 5:
            return f"{text}.{draw(st.sampled_from(['startsWith', 'endsWith', 'contains']))}({draw(text_values)})"
        case 6:
            return f"{text}.matches({draw(patterns.map(quoted))})".replace("\\\\\\\\", "\\\\")
        case 7:
            return f"{text} in [{', '.join(draw(st.lists(text_literals, min_size=1, max_size=3)))}]"
        case 8:
            if draw(st.booleans()):
                return f"dyn({draw(scalars)}) in {path}"
            return f"{quoted(draw(keys))} in resource.{draw(st.sampled_from(['metadata', 'config']))}"
        case 9:
            return f"has(resource.{draw(st.sampled_from(['metadata', 'config', 'config.env']))}.{draw(keys)})"
        case 10 | 11:
            return f"{path} {draw(equalities)} {draw(scalars)}"
        case 12:
            return f"{draw(scalars)} {draw(equalities)} {path}"
        case 13:
            left, right = path, draw(st.sampled_from(['"prod"', "1", "1.5", '"a"', "true"]))
            order = draw(orders)
            return f"{left} {order} {right}" if draw(st.booleans()) else f"{right} {order} {left}"
        case 14:
            return f"{path} {draw(equalities)} {draw(tree_paths)}"
        case 15:
            return path
        case 16:
            return f"{path} in [{', '.join(draw(st.lists(scalars, min_size=1, max_size=3).map(_alike)))}]"
        case 17:
            return f"{draw(instants)} {draw(st.one_of(orders, equalities))} {draw(instants)}"
        case 18:
            over = draw(st.sampled_from(["resource.config.env", "resource.metadata", "resource.config.n"]))
            macro = draw(st.sampled_from(["exists", "all", "exists_one"]))
            test = draw(
                st.sampled_from(['x == "env"', "x == 1", "x.env == 1", 'x == "prod" || x < "b"', "!x", "size(x) > 1"])
            )
            return f"{over}.{macro}(x, {test if over != 'resource.metadata' else 'x == ' + quoted(draw(keys))})"
        case 19:
            return draw(
                st.sampled_from(
                    [
                        "has(resource.providerId)",
                        "has(resource.kind)",
                        "has(resource.createdAt)",
                        "size(resource.metadata) > 1",
                        'resource.name.split("").size() == 4',
                        'resource.name.split(resource.metadata.env) == ["a", "b"]',
                        'resource.config.env.split(".") == ["a", "b"]',
                        "int(resource.metadata.n) > 0",
                        "int(resource.metadata.n) == 1",
                        "resource.config.env.filter(x, x > 0) == [1]",
                        "resource.config.env.map(x, x) == [1, 1.5]",
                        "sets.contains(resource.config.env, [1])",
                        "resource.config.env.size() == 2",
                        'resource.metadata.team.split(",").exists(t, t == "prod")',
                        'semver(resource.version) >= semver("1.2.3-rc.1")',
                        "resource.config == {}",
                        '(resource.config.n == 1 ? resource.kind : resource.name) == "prod"',
                        "1 / (resource.metadata.size() - 1) > 0",
                        "resource.createdAt.startsWith('2026')",
                        'dyn("a") == null',
                        'dyn("a") == 1',
                        "dyn(resource.kind) == 1",
                        '(dyn("a") ? true : false)',
                        'resource.metadata[?"env"].orValue("prod") == "prod"',
                    ]
                )
            )
        case 20:
            field = draw(st.sampled_from(["id", "providerId", "workspaceId"]))
            return f"resource.{field} {draw(equalities)} {quoted(draw(st.sampled_from([*IDS, IDS[0].upper(), 'x'])))}"
        case 21:
            return f"{path}.{draw(st.sampled_from(['startsWith', 'endsWith', 'contains']))}({draw(text_literals)})"
        case _:
            return draw(st.sampled_from(["true", "false"]))


def _alike(found: list[str]) -> list[str]:
    """A list literal of one type: the checker wants that unless it is told dyn."""
    return [f"dyn({one})" for one in found]


def _grown(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.tuples(inner, inner).map(lambda two: f"({two[0]} && {two[1]})"),
        st.tuples(inner, inner).map(lambda two: f"({two[0]} || {two[1]})"),
        inner.map(lambda one: f"!({one})"),
        st.tuples(inner, inner, inner).map(lambda three: f"({three[0]} ? {three[1]} : {three[2]})"),
        st.tuples(inner, inner).map(lambda two: f"({two[0]}) == ({two[1]})"),
    )


selectors = st.recursive(atoms(), _grown, max_leaves=5)

json_values = st.recursive(
    st.one_of(texts, st.sampled_from(NUMBERS), st.booleans(), st.none()),
    lambda inner: st.one_of(st.lists(inner, max_size=2), st.dictionaries(keys, inner, max_size=2)),
    max_leaves=4,
)

resources = st.fixed_dictionaries(
    {
        "id": st.sampled_from(IDS),
        "identifier": texts,
        "name": texts,
        "kind": texts,
        "version": st.sampled_from(["1.2.3", "v1.10.0", "1.2.3-rc.2", "latest", "prod"]),
        "workspaceId": st.just(IDS[0]),
        "providerId": st.sampled_from([None, *IDS]),
        "config": st.dictionaries(keys, json_values, max_size=3),
        "metadata": st.dictionaries(keys, texts, max_size=3),
        "createdAt": st.sampled_from(INSTANTS),
        "updatedAt": st.sampled_from(INSTANTS),
        "deletedAt": st.none(),
    }
)
