"""Who may do what? One table of permissions, one of operations, and one function that both API and console ask.

    permissions  what can be needed, and what each role carries
    decision     whether a caller may do something at a place, and why
    operations   what each operation of the API needs

Keys, sessions and people become a caller at the edge; here the caller meets the permission. Nothing else in the code
compares roles.
"""

from interlock.access.decision import (
    WORKSPACE,
    Binding,
    Caller,
    Place,
    allowed,
    allowed_somewhere,
    beyond,
    explain,
    place_of_scope,
    require,
    weigh,
)
from interlock.access.operations import OPERATIONS, Needs, operation_of
from interlock.access.permissions import PERMISSIONS, ROLE_SENTENCES, SENTENCES, Permission, Role

__all__ = [
    "OPERATIONS",
    "PERMISSIONS",
    "ROLE_SENTENCES",
    "SENTENCES",
    "WORKSPACE",
    "Binding",
    "Caller",
    "Needs",
    "Permission",
    "Place",
    "Role",
    "allowed",
    "allowed_somewhere",
    "beyond",
    "explain",
    "operation_of",
    "place_of_scope",
    "require",
    "weigh",
]
