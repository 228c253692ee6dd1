"""Who must act when something does not work? The error tree; every error of ours stands in it.

    InterlockError
    ├── Refused        the caller must change the request; nothing changed
    │   ├── Invalid        400, with the field's path and the allowed values
    │   ├── Unauthorized   401
    │   ├── Forbidden      403
    │   ├── NotFound       404
    │   ├── Conflict       409
    │   ├── Outdated       412
    │   ├── TooLarge       413
    │   └── TooMany        429
    ├── Unavailable    the world must recover; retry after `retry_after_s`
    │   ├── AgentUnavailable
    │   ├── ProviderUnavailable
    │   └── StoreUnavailable   503
    ├── Rejected       the outside said no for good: the job fails, the reason is shown
    ├── Stale          we lost a race; drop and redo; not an error in the log
    └── Bug            programmer error or corrupt row: stop this round, bury the work item, say so

*Failed* (it did not work) and *errored* (we could not tell) are different everywhere. Adapters translate at the edge
and keep the cause (`raise … from cause`).

Source: DESIGN.md section 7; error bodies: contract.md section e, "Errors".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


class InterlockError(Exception):
    """The root. `message` is a sentence for a person; it never holds a secret."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


@dataclass(frozen=True, slots=True)
class FieldError:
    """One refused field: its path in the request (`rules[0].anyApproval.minApprovals`) and what is allowed."""

    path: str
    message: str


class Refused(InterlockError):
    """The request cannot be taken as it is. Nothing was stored.

    Takes: `code` is the wire's code (`NOT_FOUND`); `details` goes into the error body as it is.
    """

    status = 400
    default_code = "BAD_REQUEST"

    def __init__(self, message: str, *, code: str | None = None, details: Mapping[str, object] | None = None) -> None:
        super().__init__(message)
        self.code = code or self.default_code
        self.details = details


class Invalid(Refused):
    """400. Names each field that is wrong; `fields` may hold several."""

    default_code = "VALIDATION_ERROR"

    def __init__(
        self,
        message: str,
        *,
        field: str | None = None,
        fields: Sequence[FieldError] = (),
        code: str | None = None,
    ) -> None:
        listed = tuple(fields) or ((FieldError(field, message),) if field else ())
        super().__init__(message, code=code)
        self.fields = listed


class Unauthorized(Refused):
    """401: no key, an unknown key, an expired key."""

    status = 401
    default_code = "UNAUTHORIZED"


class Forbidden(Refused):
    """403: known, but may not do this. Says which permission is missing."""

    status = 403
    default_code = "FORBIDDEN"


class NotFound(Refused):
    """404, also for what the caller may not see."""

    status = 404
    default_code = "NOT_FOUND"


class Conflict(Refused):
    """409: it clashes with what is stored (a duplicate name, a job already claimed)."""

    status = 409
    default_code = "CONFLICT"


class Outdated(Refused):
    """412: somebody else changed it since the caller read it (`If-Match`, an approval for an older package)."""

    status = 412
    default_code = "OUTDATED"


class TooLarge(Refused):
    """413: over a limit. Names the limit."""

    status = 413
    default_code = "TOO_LARGE"


class TooMany(Refused):
    """429: too many at once. Says after how many seconds it is worth trying again."""

    status = 429
    default_code = "TOO_MANY"

    def __init__(self, message: str, *, code: str | None = None, retry_after_s: float) -> None:
        super().__init__(message, code=code)
        self.retry_after_s = retry_after_s


class Unavailable(InterlockError):
    """The world must recover. Retried after `retry_after_s` seconds (None: by the caller's own back-off)."""

    def __init__(self, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class Unreached(Unavailable):
    """The same, and it is sure that nothing was sent: no such name, no connection."""


class AgentUnavailable(Unavailable):
    """A job agent's outside cannot be reached; whether a started run exists is unknown."""


class NotStarted(AgentUnavailable):
    """The same, and it is sure that this call started nothing: the connection was refused, the outside said "not now".

    Why: the job goes back to waiting, whatever the agent's class; nobody need look for a run.
    """


class ProviderUnavailable(Unavailable):
    """A metric provider cannot be reached: the measurement is errored, not failed."""


class StoreUnavailable(Unavailable):
    """PostgreSQL cannot be reached. 503 on the wire."""


class Rejected(InterlockError):
    """The outside said no for good (bad credentials, no such workflow): the job fails with this message."""


class Stale(InterlockError):
    """We lost a race. Drop what was computed and do it again from fresh facts."""


class Bug(InterlockError):
    """A programmer error or a corrupt row. The work item is buried and shown."""
