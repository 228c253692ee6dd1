"""Who may do what? One table of permissions and one function that both API and console ask.

Keys, sessions and people become a caller at the edge; here the caller meets the permission. Nothing else in the code
compares roles.
"""

from interlock.access.decision import WORKSPACE, Binding, Caller, Place, allowed, require
from interlock.access.permissions import PERMISSIONS, Permission, Role

__all__ = ["PERMISSIONS", "WORKSPACE", "Binding", "Caller", "Permission", "Place", "Role", "allowed", "require"]
