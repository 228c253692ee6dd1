"""How do the texts of a metric get their values? Each is a template, filled when the metric is measured.

A text of the provider's object, or a condition, may hold

    {{ resource.config.port }}      a path, with or without a dot before it. One that leads nowhere is an error
    {{ .version.tag | quote }}      anything else between braces: then the whole text is a Go template, with Sprig

as templates of job agents are (`outside/go_templates.py`): filled in a process that can be killed, without access to
the machine. A metric is asked with whole addresses only, so a `<no value>` in what comes out is an error too. A text
without `{{` is taken as it is, and what a `secretRef` leads to is never a template: it is somebody else's text.

Providers know none of this. They get an object that is filled, and `Metric` is around each of them.

**Secrets.** What a secret text was filled to, a header say, is hidden in whatever the provider says, as is what it is
made of: an answer may repeat what it was asked with.

Source: issue "Verification that acts" (Go templates in provider fields and conditions); reference-behaviour.md 4.10.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from interlock.metrics.reading import NotBefore, Provider, Reading
from interlock.metrics.ready import with_ready_made
from interlock.model.errors import FieldError, Invalid, ProviderUnavailable, Rejected, Unavailable
from interlock.model.secret import MASK, Where, hidden, hidden_all, is_reference, is_secret
from interlock.model.verification import MetricSpec
from interlock.outside.go_templates import GoTemplates, check_template
from interlock.outside.templates import check_text, render_text

TIMEOUT_S = 2.0
"""How long one text may take: many metrics share the process that fills them."""
FILLED_CHARS_MAX = 64 * 1024

PAGE = """## Templates

Every text of a provider's object, both conditions, and the expressions of `compare` may be templates, filled each time
the metric is measured.

| what stands between braces | what it is |
|---|---|
| `{{ resource.config.port }}`, `{{ .resource.config.port }}` | a path; one that leads nowhere is an error |
| anything else, `{{ .version.tag \\| quote }}`, `{{ if … }}` | then the whole text is a Go template, with Sprig |

They see what the job was given: `deployment`, `environment`, `resource`, `version`, `release`, `variables`, and `job`
with its `id` and `externalId`. In a Go template each path begins with a dot. A template that cannot be read is refused
when the policy is written, with its line; one that cannot be filled makes the measurement errored, with the reason. So
does a path in it that leads nowhere, because half an address must not be asked.

Write texts into a condition with `quote`: `result.json.version == {{ .version.tag | quote }}`. What a `secretRef` leads
to is no template, whatever it holds.
"""
"""The part of the providers' list of pages that is about this."""

_DOTLESS = re.compile(r"\{\{-?\s*[A-Za-z_][\w-]*(\.[\w-]+)+\s*-?\}\}")
_WORD = re.compile(r"\{\{-?\s*\w+\s*-?\}\}")
_NOWHERE = "<no value>"


class Verbatim(str):
    """A text that is no template, whatever it holds."""

    __slots__ = ()


def holds_template(text: object) -> bool:
    """Whether a text is filled when it is used: until then nobody can say what it will be."""
    return isinstance(text, str) and "{{" in text and not isinstance(text, Verbatim)


def provider_parts(spec: MetricSpec) -> dict[str, Mapping[str, object]]:
    """What a metric asks its provider with: the parts in which secrets may stand."""
    if spec.compare is None:
        return {"provider": spec.provider}
    sides = {"canary": spec.compare.canary.provider, "baseline": spec.compare.baseline.provider}
    return {"provider": spec.provider, **sides}


def with_parts(spec: MetricSpec, parts: Mapping[str, Mapping[str, object]]) -> MetricSpec:
    """The metric with other such parts: opened ones. What stands for a reference in them is no template any more."""
    taken = {name: kept_verbatim(part, provider_parts(spec)[name]) for name, part in parts.items()}
    if spec.compare is None:
        return replace(spec, provider=taken["provider"])
    canary = replace(spec.compare.canary, provider=taken["canary"])
    baseline = replace(spec.compare.baseline, provider=taken["baseline"])
    return replace(spec, provider=taken["provider"], compare=replace(spec.compare, canary=canary, baseline=baseline))


def kept_verbatim(config: Any, written: Any) -> Any:
    """An opened config in which what stands for a reference is no template."""
    if is_reference(written):
        return _verbatim(config)
    if isinstance(config, Mapping) and isinstance(written, Mapping):
        return {key: kept_verbatim(value, written.get(key)) for key, value in config.items()}
    if isinstance(config, list | tuple) and isinstance(written, list | tuple):
        return [kept_verbatim(*pair) for pair in zip(config, written, strict=False)]
    return config


def _verbatim(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _verbatim(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_verbatim(each) for each in value]
    return Verbatim(value) if isinstance(value, str) else value


def check_filling(text: str, *, field: str) -> None:
    """Refuse a text that can never be filled, when it is written.

    Fails: `Invalid` with the field, and the line and column.
    """
    if not holds_template(text) or _is_plain(text):
        return
    try:
        check_template(text, field=field)
    except Invalid as refused:
        found = _DOTLESS.search(text)
        hint = (
            f" In a template with more than paths, a path begins with a dot, unlike {found.group(0)}." if found else ""
        )
        message = f"{refused.message.removeprefix(f'{field}: ')}{hint}"
        raise Invalid(f"{field}: {message}", fields=[FieldError(field, message)]) from refused


class Metric:
    """A provider with templates for texts: what the rest of Interlock measures with.

    Takes: `templates` fills them; many providers share it.
    """

    def __init__(self, inner: Provider, templates: GoTemplates) -> None:
        self.inner, self.templates = inner, templates
        self.kind, self.result_fields = inner.kind, inner.result_fields

    def check_config(self, config: Mapping[str, object], path: str) -> None:
        """Refuse what the provider refuses, and templates that cannot be read."""
        wrong: list[FieldError] = []
        for place, text in texts_in(config, path):
            try:
                check_filling(text, field=place)
            except Invalid as refused:
                wrong += refused.fields
        try:
            self.inner.check_config(with_ready_made(self.kind, config, path), path)
        except Invalid as refused:
            wrong += refused.fields
        if wrong:
            raise Invalid("; ".join(f"{error.path}: {error.message}" for error in wrong[:5]), fields=wrong)

    async def measure(
        self,
        config: Mapping[str, object],
        context: Mapping[str, object],
        *,
        due_at: datetime,
        now: datetime,
        timeout_s: float,
    ) -> Reading | NotBefore:
        """Fill, and ask.

        Fails: as the provider does; `Rejected` with field and reason for what cannot be filled.
        """
        secrets: dict[str, str] = {}
        filled = await self._filled(_asked(self.kind, config), context, path=(), secrets=secrets)
        try:
            reading = await self.inner.measure(filled, context, due_at=due_at, now=now, timeout_s=timeout_s)
        except Rejected as no:
            raise Rejected(hidden(no.message, secrets)) from None
        except Unavailable as silent:
            raise ProviderUnavailable(hidden(silent.message, secrets), retry_after_s=silent.retry_after_s) from None
        if isinstance(reading, NotBefore) or not secrets:
            return reading
        return Reading(hidden_all(reading.result, secrets), hidden(reading.why, secrets))

    async def fill(self, text: str, context: Mapping[str, object], *, field: str) -> str:
        """A text with its values.

        Fails: `Rejected` with field, line and reason; `Unavailable` where nothing can be filled now.
        """
        if not holds_template(text):
            return text
        if _is_plain(text):
            return render_text(text, context, field=field)
        filled = await self.templates.render(text, context, field=field)
        if _NOWHERE in filled:
            raise Rejected(f"{field}: a path of its template leads nowhere: {_around(filled)}.")
        if len(filled) > FILLED_CHARS_MAX:
            raise Rejected(f"{field}: the text is longer than {FILLED_CHARS_MAX} characters after it was filled.")
        return filled

    async def _filled(
        self, value: Any, context: Mapping[str, object], *, path: tuple[str, ...], secrets: dict[str, str]
    ) -> Any:
        match value:
            case str():
                text = await self.fill(value, context, field=".".join(("provider", *path)))
                if text != value and is_secret(Where.RULES, ("provider", *path)):
                    words = text.split() if "\n" not in text else ()  # `Basic eDp5`: each word of it
                    for place, part in enumerate((text, *words)):
                        secrets[f"{MASK} ({'.'.join(path)}{f' {place}' if place > 1 else ''})"] = part
                return text
            case Mapping():
                return {
                    key: await self._filled(each, context, path=(*path, str(key)), secrets=secrets)
                    for key, each in value.items()
                }
            case list() | tuple():
                return [await self._filled(each, context, path=path, secrets=secrets) for each in value]
            case _:
                return value


def _asked(kind: str, config: Mapping[str, object]) -> Mapping[str, object]:
    """Fails: `Rejected` for a ready-made question that was written under other rules."""
    try:
        return with_ready_made(kind, config, "provider")
    except Invalid as refused:
        raise Rejected(refused.message) from refused


def texts_in(value: object, path: str) -> Iterator[tuple[str, str]]:
    """Every text of a config, with its path."""
    match value:
        case str():
            yield path, value
        case Mapping():
            for key, each in value.items():
                yield from texts_in(each, f"{path}.{key}")
        case list() | tuple():
            for place, each in enumerate(value):
                yield from texts_in(each, f"{path}[{place}]")


def _is_plain(text: str) -> bool:
    """Whether there is nothing between braces but paths: no process is asked for those. A single word is no path."""
    if _WORD.search(text):
        return False
    try:
        check_text(text, field="")
    except Invalid:
        return False
    return True


def _around(filled: str) -> str:
    """The words before and after what is missing."""
    place = filled.index(_NOWHERE)
    return repr(filled[max(0, place - 30) : place + len(_NOWHERE) + 30])
