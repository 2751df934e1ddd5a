"""Who may read what, in plain Python: what every way to read is compared with."""

from dataclasses import dataclass, field

ADMINS = {"owner", "admin"}


@dataclass
class User:
    id: str
    role: str
    disabled: bool = False


@dataclass
class Document:
    """`secret` is a word that stands in the text and the title, and nowhere else."""

    id: str
    workspace: str
    source: str
    secret: str
    tags: set[str]
    own_tags: set[str] = field(default_factory=set)
    own_acl: set[str] | None = None
    source_acl: set[str] | None = None


@dataclass
class Reference:
    """One organization."""

    users: dict[str, User] = field(default_factory=dict)
    groups: dict[str, set[str]] = field(default_factory=dict)
    roles: dict[tuple[str, str], str] = field(default_factory=dict)
    """(workspace, `user:…` or `group:…`) → role"""
    rules: dict[str, list[tuple[str, set[str]]]] = field(default_factory=dict)
    default_acl: dict[str, set[str] | None] = field(default_factory=dict)
    documents: dict[str, Document] = field(default_factory=dict)

    def names(self, user: str) -> set[str]:
        """What a person is called in lists of members."""
        return {f"user:{user}", *(f"group:{group}" for group, members in self.groups.items() if user in members)}

    def workspaces(self, user: str, all_of_them: set[str]) -> set[str]:
        if self.users[user].role in ADMINS:
            return set(all_of_them)
        return {workspace for workspace, name in self.roles if name in self.names(user)}

    def acl(self, document: Document) -> set[str]:
        if document.own_acl is not None:
            return document.own_acl
        for tag, principals in self.rules.get(document.workspace, []):
            if tag in document.tags | document.own_tags:
                return principals
        for acl in (document.source_acl, self.default_acl.get(document.source)):
            if acl is not None:
                return acl
        return {f"workspace:{document.workspace}"}

    def may_read(self, user: str, document: Document, all_workspaces: set[str]) -> bool:
        if self.users[user].disabled:
            return False
        workspaces = self.workspaces(user, all_workspaces)
        if document.workspace not in workspaces:
            return False
        called = self.names(user) | {f"workspace:{workspace}" for workspace in workspaces}
        return bool(called & self.acl(document))

    def readable(self, user: str, all_workspaces: set[str]) -> dict[str, Document]:
        return {key: each for key, each in self.documents.items() if self.may_read(user, each, all_workspaces)}
