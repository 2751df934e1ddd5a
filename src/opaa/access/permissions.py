"""The table of what each organization role may do, and the closed list of token scopes.

An operation is `resource:verb`; it doubles as the scope that an API token needs for it.
"""

from typing import Final

from opaa.errors import InvalidInputError

OWNER, ADMIN, AUDITOR, MEMBER = "owner", "admin", "auditor", "member"
ROLES: Final = (OWNER, ADMIN, AUDITOR, MEMBER)
EVERYBODY: Final = frozenset(ROLES)
ADMINS: Final = frozenset({OWNER, ADMIN})

PERMISSIONS: Final[dict[str, frozenset[str]]] = {
    "ask": EVERYBODY,
    "search": EVERYBODY,
    "documents:read": EVERYBODY,
    "documents:write": frozenset({OWNER, ADMIN, MEMBER}),
    "conversations:read": EVERYBODY,
    "conversations:write": EVERYBODY,
    "feedback:write": EVERYBODY,
    "sources:read": EVERYBODY,
    "sources:write": ADMINS,
    "workspaces:read": EVERYBODY,
    "workspaces:write": ADMINS,
    "tokens:read": EVERYBODY,
    "tokens:write": EVERYBODY,
    "metrics:read": frozenset({OWNER, ADMIN, AUDITOR}),
}
SCOPES: Final = tuple(PERMISSIONS)


def role_allows(role: str, operation: str) -> bool:
    return role in PERMISSIONS.get(operation, frozenset())


def check_scopes(scopes: list[str]) -> list[str]:
    """The scopes, sorted and once each. Raises InvalidInputError for an unknown or missing one."""
    unknown = [scope for scope in scopes if scope not in PERMISSIONS]
    if unknown:
        raise InvalidInputError(f"{unknown[0]} is not a scope; the scopes are {', '.join(SCOPES)}")
    if not scopes:
        raise InvalidInputError(f"A token needs at least one scope of {', '.join(SCOPES)}")
    return sorted(set(scopes))
