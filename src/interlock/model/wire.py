"""How is a closed JSON object read, so that every wrong field is named with its path?

Rule objects and our own bodies are closed: an unknown key is refused, because a misspelt rule that is dropped in
silence is a gate that does not stand. All faults of one object are reported together.

    fields = Fields(body, "rules[0].anyApproval")
    minimum = fields.integer("minApprovals", minimum=0)
    fields.done()

Source: reference-behaviour.md appendix D (what goes wrong without it); DESIGN.md section 8, REST row.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

from interlock.model.errors import FieldError, Invalid

_T = TypeVar("_T")
_MISSING = object()

TEXT_MAX = 20_000
INT32_MAX = 2**31 - 1


class Fields:
    """The fields of one object, taken one by one; `done` raises what was wrong with all of them.

    Why:    a reader that stops at the first fault makes a person send the request five times.
    """

    def __init__(self, body: object, path: str) -> None:
        self.path = path
        self.errors: list[FieldError] = []
        self._left: dict[str, object] = {}
        if isinstance(body, Mapping):
            self._left = {str(key): value for key, value in body.items()}
        else:
            self.errors.append(FieldError(path, "must be an object"))

    def _take(self, name: str, *, required: bool) -> object:
        value = self._left.pop(name, _MISSING)
        if value is None or value is _MISSING:
            if required and not (self.errors and self.errors[0].path == self.path):
                self.errors.append(FieldError(f"{self.path}.{name}", "is required"))
            return None
        return value

    def wrong(self, name: str, message: str) -> None:
        """Note a fault that the caller found."""
        self.errors.append(FieldError(f"{self.path}.{name}", message))

    def anything(self, name: str) -> object:
        """A value of any kind, for a caller that tells the kinds apart; None when absent."""
        return self._take(name, required=False)

    def integer(
        self,
        name: str,
        *,
        default: int | None = None,
        minimum: int = 0,
        maximum: int = INT32_MAX,
        required: bool = False,
    ) -> int:
        """A whole number (1.0 counts, true does not). Gives `default` (or 0) when absent."""
        value = self._take(name, required=required)
        if value is None:
            return default if default is not None else 0
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int):
            self.wrong(name, "must be a whole number")
            return minimum
        if not minimum <= value <= maximum:
            self.wrong(name, f"must be from {minimum} to {maximum}")
        return value

    def optional_integer(self, name: str, *, minimum: int = 0, maximum: int = INT32_MAX) -> int | None:
        """A whole number, or None when absent."""
        if self._left.get(name) is None:
            self._left.pop(name, None)
            return None
        return self.integer(name, minimum=minimum, maximum=maximum)

    def number(
        self, name: str, *, default: float | None, minimum: float, maximum: float, required: bool = False
    ) -> float | None:
        """Any JSON number within the range; `default` when absent."""
        value = self._take(name, required=required)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int | float):
            self.wrong(name, "must be a number")
            return default
        if not minimum <= value <= maximum:
            self.wrong(name, f"must be from {minimum:.10g} to {maximum:.10g}")
        return float(value)

    def boolean(self, name: str, *, default: bool) -> bool:
        """true or false; `default` when absent."""
        value = self._take(name, required=False)
        if value is None:
            return default
        if not isinstance(value, bool):
            self.wrong(name, "must be true or false")
            return default
        return value

    def text(self, name: str, *, default: str | None = None, required: bool = False, maximum: int = TEXT_MAX) -> str:
        """Text; `default` (or "") when absent."""
        value = self._take(name, required=required)
        if value is None:
            return default if default is not None else ""
        if not isinstance(value, str):
            self.wrong(name, "must be text")
            return ""
        if required and not value.strip():
            self.wrong(name, "must not be empty")
        if len(value) > maximum:
            self.wrong(name, f"must be at most {maximum} characters")
        return value

    def choice(self, name: str, *, allowed: tuple[str, ...], default: str | None = None) -> str:
        """One of the allowed words; required when there is no default."""
        value = self._take(name, required=default is None)
        if value is None:
            return default or allowed[0]
        if value not in allowed:
            self.wrong(name, f"must be one of {', '.join(allowed)}")
            return default or allowed[0]
        return str(value)

    def words(self, name: str, *, allowed: tuple[str, ...], default: tuple[str, ...] = ()) -> tuple[str, ...]:
        """A list of allowed words; `default` when absent."""
        value = self._take(name, required=False)
        if value is None:
            return default
        if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
            self.wrong(name, "must be a list of texts")
            return default
        for word in value:
            if word not in allowed:
                self.wrong(name, f"{word!r} is not one of {', '.join(allowed)}")
        return tuple(value)

    def mapping(self, name: str, *, required: bool = False) -> Mapping[str, object]:
        """An object whose keys are somebody else's business; {} when absent."""
        value = self._take(name, required=required)
        if value is None:
            return {}
        if not isinstance(value, Mapping):
            self.wrong(name, "must be an object")
            return {}
        return {str(key): each for key, each in value.items()}

    def items(self, name: str, *, required: bool = False, maximum: int = 100) -> list[object]:
        """A list of anything, at most `maximum` long; [] when absent."""
        value = self._take(name, required=required)
        if value is None:
            return []
        if not isinstance(value, list):
            self.wrong(name, "must be a list")
            return []
        if len(value) > maximum:
            self.wrong(name, f"must hold at most {maximum} items")
        return value

    def parsed(self, name: str, parse: Callable[[str], _T], *, required: bool = True) -> _T | None:
        """Text that `parse` turns into something; its `Invalid` is told under this field's path."""
        text = self.text(name, required=required)
        if not text:
            return None
        try:
            return parse(text)
        except Invalid as error:
            self.wrong(name, error.message)
            return None

    def is_list(self, name: str) -> bool:
        """Whether a field that may be one value or several holds a list."""
        return isinstance(self._left.get(name), list)

    def unwanted(self, name: str, message: str) -> None:
        """Refuse a field that makes no sense beside the others; absent it is fine."""
        if self._left.pop(name, None) is not None:
            self.wrong(name, message)

    def done(self) -> None:
        """Refuse what was not asked for, and raise everything that was wrong.

        Fails: `Invalid` with one `FieldError` a fault.
        """
        self.refuse_rest()
        if self.errors:
            raise refusal(self.errors)

    def refuse_rest(self) -> None:
        """Note what was not asked for, for a caller that raises the errors with its own."""
        self.errors.extend(FieldError(f"{self.path}.{name}", "is not known here") for name in self._left)


def refusal(errors: list[FieldError]) -> Invalid:
    """One `Invalid` that names every faulty field in its sentence."""
    sentence = "; ".join(f"{error.path} {error.message}" for error in errors[:5])
    more = f"; and {len(errors) - 5} more" if len(errors) > 5 else ""
    return Invalid(f"{sentence}{more}.", fields=errors)
