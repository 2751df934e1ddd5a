"""Changes of who may read what, in any order, and every way to read, compared with the reference."""

import asyncio
from typing import Any, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from opaa.access.explain import explain
from opaa.db.base import utc_now
from opaa.retrieval.service import SearchService
from tests.integration.isolation.reference import Document
from tests.integration.isolation.world import COMMON, Organization, World

TAGS = ("hr", "board")
picks = st.integers(min_value=0, max_value=11)
masks = st.integers(min_value=1, max_value=63)


class Isolation(RuleBasedStateMachine):
    """The first organization changes; the people of both read."""

    world: ClassVar[World]
    runner: ClassVar[asyncio.Runner]

    def run(self, coroutine: Any) -> Any:
        return self.runner.run(coroutine)

    @initialize(first=masks, second=masks)
    def begin(self, first: int, second: int) -> None:
        """A document in each workspace, and another tenant's that looks the same."""
        self.run(self.world.begin())
        self.home, self.other = self.world.organizations
        self.run(self.world.write(self.other, self.other.workspaces[0], set(), None))
        self.run(self.world.write(self.home, self.home.workspaces[0], set(), None))
        self.add_document(0, first, None)
        self.add_document(1, second, second)
        self.join(1, 0, 0)
        self.ask(1)

    def teardown(self) -> None:
        if hasattr(self, "home"):
            self.run(self.world.end())

    # ── choosing ─────────────────────────────────────────────────────────────────────────────────────────────────

    def user(self, pick: int, organization: Organization | None = None) -> str:
        users = list((organization or self.home).reference.users)
        return users[pick % len(users)]

    def group(self, pick: int) -> str:
        groups = list(self.home.reference.groups)
        return groups[pick % len(groups)]

    def workspace(self, pick: int) -> str:
        return self.home.workspaces[pick % 2]

    def document(self, pick: int) -> Document:
        documents = list(self.home.reference.documents.values())
        return documents[pick % len(documents)]

    def principals(self, mask: int, workspace: str) -> set[str]:
        """Some of: everyone in the workspace, two groups, three people."""
        names = [f"workspace:{workspace}"]
        names += [f"group:{group}" for group in self.home.reference.groups][:2]
        names += [f"user:{user}" for user in self.home.reference.users][:3]
        return {name for bit, name in enumerate(names) if mask >> bit & 1} or {names[0]}

    # ── changes ──────────────────────────────────────────────────────────────────────────────────────────────────

    @rule(where=picks, tags=masks, acl=st.none() | masks)
    @precondition(lambda self: len(self.home.reference.documents) < 6)
    def add_document(self, where: int, tags: int, acl: int | None) -> None:
        workspace = self.workspace(where)
        chosen = {tag for bit, tag in enumerate(TAGS) if tags >> bit & 1 and tags & 4}
        source_acl = self.principals(acl, workspace) if acl else None
        self.run(self.world.write(self.home, workspace, chosen, source_acl))

    @rule(pick=picks, acl=st.none() | masks)
    @precondition(lambda self: self.home.reference.documents)
    def index_again(self, pick: int, acl: int | None) -> None:
        document = self.document(pick)
        source_acl = self.principals(acl, document.workspace) if acl else None
        self.run(self.world.write(self.home, document.workspace, document.tags, source_acl, document))

    @rule(pick=picks)
    @precondition(lambda self: self.home.reference.documents)
    def delete_document(self, pick: int) -> None:
        self.run(self.world.delete_document(self.home, self.document(pick)))

    @rule(pick=picks, acl=st.none() | masks, tags=st.integers(0, 3))
    @precondition(lambda self: self.home.reference.documents)
    def share(self, pick: int, acl: int | None, tags: int) -> None:
        document = self.document(pick)
        principals = self.principals(acl, document.workspace) if acl else None
        chosen = {tag for bit, tag in enumerate(TAGS) if tags >> bit & 1}
        self.run(self.world.set_acl(self.home, document, principals, chosen))

    @rule(where=picks, first=st.integers(0, 63), second=st.integers(0, 63), swap=st.booleans())
    def set_rules(self, where: int, first: int, second: int, swap: bool) -> None:
        workspace = self.workspace(where)
        rules = [
            (tag, self.principals(mask, workspace)) for tag, mask in zip(TAGS, (first, second), strict=True) if mask
        ]
        self.run(self.world.set_rules(self.home, workspace, rules[::-1] if swap else rules))

    @rule(where=picks, acl=st.none() | masks)
    def set_source(self, where: int, acl: int | None) -> None:
        workspace = self.workspace(where)
        self.run(self.world.set_default(self.home, workspace, self.principals(acl, workspace) if acl else None))

    @rule(pick=picks, who=picks, where=picks)
    def join(self, pick: int, who: int, where: int) -> None:
        """A person (or, every other time, a group) gets a role in a workspace."""
        name = f"user:{self.user(pick)}" if who % 2 == 0 else f"group:{self.group(pick)}"
        role = ("viewer", "editor", "admin")[who % 3]
        path = f"/workspaces/{self.workspace(where)}/members/{name}"
        answer = self.run(self.world.call(self.home, self.owner, "PUT", path, json={"role": role}))
        assert answer.status_code == 204, answer.text
        self.home.reference.roles[self.workspace(where), name] = role

    @rule(pick=picks)
    @precondition(lambda self: self.home.reference.roles)
    def leave(self, pick: int) -> None:
        roles = list(self.home.reference.roles)
        workspace, name = roles[pick % len(roles)]
        path = f"/workspaces/{workspace}/members/{name}"
        assert self.run(self.world.call(self.home, self.owner, "DELETE", path)).status_code == 204
        del self.home.reference.roles[workspace, name]

    @rule(pick=picks, which=picks)
    def toggle_group(self, pick: int, which: int) -> None:
        user, group = self.user(pick), self.group(which)
        members = self.home.reference.groups[group]
        if user in members:
            answer = self.run(self.world.call(self.home, self.owner, "DELETE", f"/groups/{group}/members/{user}"))
        else:
            body = {"user_ids": [user]}
            answer = self.run(self.world.call(self.home, self.owner, "POST", f"/groups/{group}/members", json=body))
        assert answer.status_code == 204, answer.text
        members.symmetric_difference_update({user})

    @rule(pick=picks, role=st.sampled_from(["member", "auditor", "admin", "disabled"]))
    def set_role(self, pick: int, role: str) -> None:
        user = self.user(1 + pick % 2)
        entry = self.home.reference.users[user]
        entry.disabled = role == "disabled"
        if not entry.disabled:
            entry.role = role
        disabled_at = utc_now() if entry.disabled else None
        self.run(self.world.change_user(self.home, user, role=entry.role, disabled_at=disabled_at))

    # ── reading ──────────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def owner(self) -> str:
        return next(iter(self.home.reference.users))

    @rule(pick=picks)
    def ask(self, pick: int) -> None:
        self.run(self._ask(self.home, self.user(pick)))

    @rule(pick=picks)
    def read(self, pick: int) -> None:
        """Everything that one person can ask for."""
        self.run(self._read(self.home, self.user(pick)))

    @rule(pick=picks)
    def read_as_another_tenant(self, pick: int) -> None:
        self.run(self._read(self.other, self.user(pick, self.other)))

    @rule(pick=picks)
    def revoke(self, pick: int) -> None:
        """Somebody asks, loses what the answer was made from, and looks at the conversation."""
        user = self.user(1 + pick % 2)
        self.run(self._ask(self.home, user))
        for document in list(self.home.reference.readable(user, set(self.home.workspaces)).values()):
            self.run(self.world.set_acl(self.home, document, {f"user:{self.owner}"}, document.own_tags))
        self.run(self._read(self.home, user))

    @rule()
    def look_into_every_table(self) -> None:
        """A job of one organization, which may see all of it, sees nothing of another."""
        self.run(self.world.look_into_every_table())

    def secrets(self, organization: Organization, user: str) -> tuple[set[str], set[str]]:
        """The words that a person may read, and those that must not appear in anything that person is sent."""
        readable = organization.reference.readable(user, set(organization.workspaces))
        everything = [each for one in self.world.organizations for each in one.reference.documents.values()]
        return set(readable), {each.secret for each in everything if each.id not in readable}

    async def _send(self, organization: Organization, user: str, method: str, path: str, **sent: Any) -> Any:
        answer = await self.world.call(organization, user, method, path, **sent)
        _, hidden = self.secrets(organization, user)
        told = [secret for secret in hidden if secret in answer.text or secret in str(answer.headers)]
        assert not told, f"{method} {path} told {told} to {user}: {answer.text}"
        return answer

    async def _ask(self, organization: Organization, user: str) -> None:
        readable, _ = self.secrets(organization, user)
        conversation = next((key for key, who in organization.conversations.items() if who == user), None)
        body = {"question": f"What is the {COMMON} mine called?", "conversation_id": conversation}
        answer = await self._send(organization, user, "POST", "/ask", json=body)
        if organization.reference.users[user].disabled:
            assert answer.status_code == 401
            return
        assert answer.status_code == 200, answer.text
        told = answer.json()
        shown = {each["document_id"] for each in [*told["citations"], *told["nearest"]]}
        assert shown <= readable
        assert bool(shown) == bool(readable), "an answer needs a readable document, and finds one"
        organization.conversations[told["conversation_id"]] = user
        organization.messages[told["message_id"]] = user

    async def _read(self, organization: Organization, user: str) -> None:
        reference = organization.reference
        readable, _ = self.secrets(organization, user)

        async def get(path: str, **parameters: Any) -> Any:
            return await self._send(organization, user, "GET", path, params=parameters)

        if reference.users[user].disabled:
            for path in ("/documents", "/search?q=x", "/conversations", "/auth/me"):
                assert (await get(path)).status_code == 401
            return
        found = (await get("/search", q=f"{COMMON} mine", limit=100)).json()["results"]
        assert {each["document_id"] for each in found} == readable
        assert {each["id"] for each in (await get("/documents", limit=200)).json()["items"]} == readable
        await self._read_each(organization, user, readable)
        workspaces = reference.workspaces(user, set(organization.workspaces))
        listed = (await get("/workspaces")).json()["items"]
        assert {each["id"] for each in listed} == workspaces
        for each in listed:
            mine = {key for key in readable if reference.documents[key].workspace == each["id"]}
            assert each["document_count"] == len(mine)
        for source in (await get("/sources")).json()["items"]:
            assert source["workspace"]["id"] in workspaces
            mine = {key for key in readable if reference.documents[key].source == source["id"]}
            assert source["document_count"] == len(mine)
        await self._read_history(organization, user)
        await self._read_index(organization, user, readable)

    async def _read_each(self, organization: Organization, user: str, readable: set[str]) -> None:
        everything = [each for one in self.world.organizations for each in one.reference.documents.values()]
        for document in everything:
            for path in (f"/documents/{document.id}", f"/documents/{document.id}/text"):
                status = (await self._send(organization, user, "GET", path)).status_code
                assert status == (200 if document.id in readable else 404), path
            explanation = await self._explain(organization, user, document)
            assert explanation == (document.id in readable)

    async def _explain(self, organization: Organization, user: str, document: Document) -> bool:
        """The history of permissions, of which nothing else here makes use, says the same."""
        from uuid import UUID

        async with self.world.database.session(organization.tenant.member) as session:
            return (await explain(session, UUID(user), UUID(document.id))).allowed

    async def _read_history(self, organization: Organization, user: str) -> None:
        for one in self.world.organizations:
            for conversation, who in one.conversations.items():
                answer = await self._send(organization, user, "GET", f"/conversations/{conversation}")
                assert answer.status_code == (200 if who == user else 404)
            for message, who in one.messages.items():
                body = {"message_id": message, "rating": "up"}
                answer = await self._send(organization, user, "POST", "/feedback", json=body)
                assert answer.status_code == (204 if who == user else 404)
        mine = {key for key, who in organization.conversations.items() if who == user}
        listed = (await self._send(organization, user, "GET", "/conversations")).json()["items"]
        assert {each["id"] for each in listed} == mine

    async def _read_index(self, organization: Organization, user: str, readable: set[str]) -> None:
        """Each layer alone: the tables under their policies, and the search where no policy helps it."""
        from uuid import UUID

        from sqlalchemy import text

        from opaa.identity.service import find_user, identity_of
        from opaa.identity.sessions import outside

        async with self.world.database.session(outside(organization.tenant.organization_id)) as session:
            context = (await identity_of(session, await find_user(session, user))).context
        async with self.world.database.session(context) as session:
            for table in ("document_texts", "chunks", "chunk_embeddings", "chunk_terms", "attributes"):
                rows = await session.scalars(text(f"SELECT DISTINCT document_id FROM {table}"))
                expected = readable if table != "attributes" else None
                found = {str(each) for each in rows}
                assert found == expected if expected is not None else found <= readable, table
            for table in ("conversations", "messages", "feedback"):
                owners = await session.scalars(text(f"SELECT DISTINCT user_id FROM {table}"))
                assert {str(each) for each in owners} <= {user}, table
            lexical = await self.world.runtime.store.lexical(session, _concepts(), _range(organization), 100)
            assert {str(each.document_id) for each in lexical} == readable, "opaa_lexical_candidates"
        async with self.world.database.session(organization.system) as session:
            search: SearchService = self.world.runtime.search
            hits = await search.search(
                session, context, f"{COMMON} mine", workspace_ids=[UUID(each) for each in organization.workspaces]
            )
            assert {str(hit.document_id) for hit in hits.hits} <= readable, "the re-check of retrieval"


def _concepts() -> Any:
    from opaa.retrieval.analysis import analyze_question

    return analyze_question(COMMON).concepts


def _range(organization: Organization) -> Any:
    from uuid import UUID

    from opaa.vectors.port import Range

    return Range([UUID(each) for each in organization.workspaces])
