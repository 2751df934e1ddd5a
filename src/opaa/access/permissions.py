"""The one table of who may do what, and the closed list of token scopes.

An operation is `resource:verb`; it doubles as the scope that an API token needs for it. What a person may do is what
the organization role allows, and in a workspace what the role there allows; a token never allows more than its owner
may at the moment.
"""

from dataclasses import dataclass
from typing import Final

from opaa.errors import InvalidInputError

OWNER, ADMIN, AUDITOR, MEMBER = "owner", "admin", "auditor", "member"
ROLES: Final = (OWNER, ADMIN, AUDITOR, MEMBER)
EDITOR, VIEWER = "editor", "viewer"
WORKSPACE_ROLES: Final = (ADMIN, EDITOR, VIEWER)  # the strongest first

EVERYBODY: Final = frozenset(ROLES)
ADMINS: Final = frozenset({OWNER, ADMIN})
OVERSEERS: Final = frozenset({OWNER, ADMIN, AUDITOR})
NOBODY: Final[frozenset[str]] = frozenset()
EDITORS: Final = frozenset({ADMIN, EDITOR})
WORKSPACE_ADMINS: Final = frozenset({ADMIN})


@dataclass(frozen=True, slots=True)
class Permission:
    """Which organization roles may do something, and which workspace roles in their workspace.

    Owners and admins of the organization have the role admin in every workspace.
    """

    meaning: str
    organization: frozenset[str]
    workspace: frozenset[str] = NOBODY


PERMISSIONS: Final[dict[str, Permission]] = {
    "ask": Permission("Ask questions about what one may read", EVERYBODY),
    "search": Permission("Search what one may read", EVERYBODY),
    "documents:read": Permission("List and open documents that one may read", EVERYBODY),
    "documents:write": Permission("Upload documents, remove uploaded ones", NOBODY, EDITORS),
    "documents:share": Permission("See and change who may read a document", NOBODY, WORKSPACE_ADMINS),
    "conversations:read": Permission("Read one's own conversations", EVERYBODY),
    "conversations:write": Permission("Rename and delete one's own conversations", EVERYBODY),
    "feedback:write": Permission("Judge one's own answers", EVERYBODY),
    "sources:read": Permission("See the sources of one's workspaces", EVERYBODY),
    "sources:write": Permission(
        "Connect, change, run and remove sources; see their runs and errors", NOBODY, WORKSPACE_ADMINS
    ),
    "workspaces:read": Permission("See one's workspaces", EVERYBODY),
    "workspaces:create": Permission("Create workspaces", ADMINS),
    "workspaces:write": Permission("Rename a workspace, change its members and tag rules", NOBODY, WORKSPACE_ADMINS),
    "workspaces:delete": Permission("Delete workspaces with all they hold", ADMINS),
    "users:read": Permission("See the people of the organization", OVERSEERS, WORKSPACE_ADMINS),
    "users:write": Permission("Create, change, disable and delete accounts; reset passwords; end sessions", ADMINS),
    "groups:read": Permission("See groups and their members", OVERSEERS, WORKSPACE_ADMINS),
    "groups:write": Permission("Create, change and delete groups", ADMINS),
    "service-accounts:read": Permission("See service accounts and their tokens", OVERSEERS),
    "service-accounts:write": Permission("Create, change and delete service accounts and their tokens", ADMINS),
    "tokens:read": Permission("See one's own tokens", EVERYBODY),
    "tokens:write": Permission("Create, rotate and revoke one's own tokens", EVERYBODY),
    "sessions:read": Permission("See where one is logged in", EVERYBODY),
    "sessions:write": Permission("End one's own sessions", EVERYBODY),
    "organization:write": Permission("Change the organization's settings", frozenset({OWNER})),
    "audit:read": Permission("Read, export and verify the audit log", OVERSEERS),
    "access:explain": Permission("Ask why a person can or cannot read a document", OVERSEERS),
    "scim": Permission("Provision accounts and groups (SCIM 2.0)", ADMINS),
    "metrics:read": Permission("Read the metrics", OVERSEERS),
}
SCOPES: Final = tuple(PERMISSIONS)


def role_allows(role: str, operation: str, workspace_role: str | None = None) -> bool:
    """Whether an organization role, or a role in the workspace in question, allows an operation."""
    permission = PERMISSIONS.get(operation)
    return permission is not None and (role in permission.organization or workspace_role in permission.workspace)


def strongest(roles: set[str]) -> str:
    """The workspace role of somebody who has several."""
    return min(roles, key=WORKSPACE_ROLES.index)


def check_scopes(scopes: list[str]) -> list[str]:
    """The scopes, sorted and once each. Raises InvalidInputError for an unknown or missing one."""
    unknown = [scope for scope in scopes if scope not in PERMISSIONS]
    if unknown:
        raise InvalidInputError(f"{unknown[0]} is not a scope; the scopes are {', '.join(SCOPES)}")
    if not scopes:
        raise InvalidInputError(f"A token needs at least one scope of {', '.join(SCOPES)}")
    return sorted(set(scopes))
