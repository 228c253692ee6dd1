"""How is CEL read from a body and from a query?

In a body it is checked as it stands, with line and column in the refusal. In a query it has been percent-decoded
once; one client encodes it twice, so what does not parse is form-decoded once more before it is refused.

Source: contract.md section e, "Selectors (CEL)", "Decoding".
"""

from __future__ import annotations

from urllib.parse import unquote_plus

from interlock.inventory.selector import Scope, Selector, parse_selector
from interlock.model.errors import FieldError, Invalid

__all__ = ["Scope", "checked_selector", "selector_of_query"]


def checked_selector(text: str | None, *, scope: Scope, field: str) -> str | None:
    """The text when it is a selector over this scope; None and an empty one stay what they are.

    Fails: `Invalid` on the field.
    """
    if not text or not text.strip():
        return None
    try:
        parse_selector(text, scope)
    except Invalid as error:
        message = f"is no valid CEL: {error.message}"
        raise Invalid(f"{field} {message}", fields=[FieldError(field, message)], code="INVALID_CEL") from error
    return text


def selector_of_query(text: str | None, *, scope: Scope) -> Selector | None:
    """The selector of the query parameter `cel`; None when there is none.

    Fails: `Invalid` when the text is a selector neither as it is nor decoded once more.
    """
    if not text or not text.strip():
        return None
    try:
        return parse_selector(text, scope)
    except Invalid as error:
        again = unquote_plus(text)
        try:
            if again != text:
                return parse_selector(again, scope)
        except Invalid:
            pass
        message = f"is no valid CEL: {error.message}"
        raise Invalid(f"cel {message}", fields=[FieldError("cel", message)], code="INVALID_CEL") from error
