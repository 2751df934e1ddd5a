"""The table of permissions as Markdown, for the documentation."""

from opaa.access.permissions import PERMISSIONS, ROLES, WORKSPACE_ROLES

HEAD = """# Permissions

Made by `opaa access roles --markdown`; do not edit. An operation is also the scope that an API token needs for it.
Owners and admins of the organization are admin in every workspace.

| Operation | Meaning | In the organization | In a workspace |
|---|---|---|---|
"""


def reference() -> str:
    """One row per operation."""
    return HEAD + "".join(
        f"| `{name}` | {permission.meaning} | {_listed(ROLES, permission.organization)} |"
        f" {_listed(WORKSPACE_ROLES, permission.workspace)} |\n"
        for name, permission in PERMISSIONS.items()
    )


def _listed(roles: tuple[str, ...], allowed: frozenset[str]) -> str:
    return "everybody" if set(roles) == allowed else ", ".join(role for role in roles if role in allowed)
