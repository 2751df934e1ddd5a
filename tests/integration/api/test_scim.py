"""A directory provisions people and groups, as Entra ID and Okta do it; and may not do more."""

from typing import Any

import httpx
import pytest

from opaa.identity.service import create_user
from tests.integration.api.conftest import Api
from tests.integration.api.test_permissions import routes
from tests.integration.identity.conftest import audited

USER = "urn:ietf:params:scim:schemas:core:2.0:User"
GROUP = "urn:ietf:params:scim:schemas:core:2.0:Group"
ENTERPRISE = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
PATCH = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
ADA = {
    "schemas": [USER, ENTERPRISE],
    "userName": "Ada@example.org",
    "externalId": "e-1",
    "name": {"givenName": "Ada", "familyName": "Lovelace"},
    "emails": [{"value": "other@example.org"}, {"value": "ada@example.org", "primary": True, "type": "work"}],
    "active": True,
    "preferredLanguage": "en",
    "somethingNobodyKnows": {"a": 1},
    ENTERPRISE: {"department": "Analysis"},
}


@pytest.fixture
async def scim(api: Api) -> httpx.AsyncClient:
    """The directory's client: an admin's token with the scope scim."""
    return await api.bearer(await api.user("provisioner", "admin"), "scim")


def patch(*operations: dict[str, Any]) -> dict[str, Any]:
    return {"schemas": [PATCH], "Operations": list(operations)}


async def create(scim: httpx.AsyncClient, **changes: Any) -> dict[str, Any]:
    answer = await scim.post("/scim/v2/Users", json={**ADA, **changes})
    assert answer.status_code == 201, answer.text
    body: dict[str, Any] = answer.json()
    return body


def assert_error(answer: httpx.Response, status: int, scim_type: str | None = None) -> None:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/scim+json"
    body = answer.json()
    assert body["schemas"] == ["urn:ietf:params:scim:api:messages:2.0:Error"]
    assert body["status"] == str(status)
    assert body.get("scimType") == scim_type, body
    assert body["detail"]


@pytest.mark.req("SEC-1")
async def test_a_person_from_hiring_to_leaving(api: Api, scim: httpx.AsyncClient) -> None:
    made = await scim.post("/scim/v2/Users", json=ADA)
    assert made.status_code == 201, made.text
    assert made.headers["content-type"] == "application/scim+json"
    ada = made.json()
    assert made.headers["location"] == ada["meta"]["location"]
    assert ada["meta"]["location"].endswith(f"/scim/v2/Users/{ada['id']}")
    assert (ada["userName"], ada["displayName"], ada["active"]) == ("Ada@example.org", "Ada Lovelace", True)
    assert ada["emails"] == [{"value": "ada@example.org", "primary": True, "type": "work"}]
    assert_error(await scim.post("/scim/v2/Users", json=ADA), 409, "uniqueness")
    found = (await scim.get("/scim/v2/Users", params={"filter": 'userName eq "ada@EXAMPLE.org"'})).json()
    assert (found["totalResults"], found["Resources"][0]["id"]) == (1, ada["id"])
    answer = await scim.put(f"/scim/v2/Users/{ada['id']}", json={**ADA, "displayName": "Countess"})
    assert answer.json()["displayName"] == "Countess"
    # As Entra ID switches somebody off.
    off = patch({"op": "Replace", "path": "active", "value": "False"})
    answer = await scim.patch(f"/scim/v2/Users/{ada['id']}", json=off)
    assert answer.status_code == 200, answer.text
    assert answer.json()["active"] is False
    # And as Okta does, without a path.
    answer = await scim.patch(
        f"/scim/v2/Users/{ada['id']}", json=patch({"op": "replace", "value": {"active": True, "displayName": "Ada"}})
    )
    assert (answer.json()["active"], answer.json()["displayName"]) == (True, "Ada")
    assert (await scim.delete(f"/scim/v2/Users/{ada['id']}")).status_code == 204
    assert_error(await scim.get(f"/scim/v2/Users/{ada['id']}"), 404)
    assert_error(await scim.delete(f"/scim/v2/Users/{ada['id']}"), 404)
    back = await create(scim)  # rehired: the same account, with what it owns
    assert (back["id"], back["active"]) == (ada["id"], True)
    assert [each.actor.startswith("user:") for each in await audited(api, "user.deprovisioned")] == [True]


@pytest.mark.req("SEC-1")
async def test_switched_off_means_out_at_once(api: Api, scim: httpx.AsyncClient) -> None:
    from tests.integration.api.conftest import PASSWORD

    user = await api.user("bob")
    bob = await api.log_in("bob")
    token = await api.bearer(user, "search")
    assert (await token.get("/api/v1/search?q=x")).status_code == 200
    await scim.patch(f"/scim/v2/Users/{user.id}", json=patch({"op": "replace", "path": "active", "value": False}))
    assert (await bob.get("/api/v1/auth/me")).status_code == 401
    assert (await token.get("/api/v1/search?q=x")).status_code == 401
    answer = await api.client().post("/api/v1/auth/login", json={"login": "bob", "password": PASSWORD})
    assert answer.status_code == 401


@pytest.mark.req("SEC-1")
async def test_groups_and_their_members(api: Api, scim: httpx.AsyncClient) -> None:
    ada, bob = await create(scim), await create(scim, userName="bob", externalId="e-2", emails=[])
    body = {"schemas": [GROUP], "displayName": "Analysts", "externalId": "g-1", "members": [{"value": ada["id"]}]}
    made = await scim.post("/scim/v2/Groups", json=body)
    assert made.status_code == 201, made.text
    group = f"/scim/v2/Groups/{made.json()['id']}"
    assert [member["value"] for member in made.json()["members"]] == [ada["id"]]
    assert_error(await scim.post("/scim/v2/Groups", json=body), 409, "uniqueness")
    added = await scim.patch(group, json=patch({"op": "Add", "path": "members", "value": [{"value": bob["id"]}]}))
    assert {member["value"] for member in added.json()["members"]} == {ada["id"], bob["id"]}
    removed = await scim.patch(group, json=patch({"op": "remove", "path": f'members[value eq "{ada["id"]}"]'}))
    assert [member["value"] for member in removed.json()["members"]] == [bob["id"]]
    # As Entra ID removes a member, and renames.
    await scim.patch(group, json=patch({"op": "Remove", "path": "members", "value": [{"value": bob["id"]}]}))
    await scim.patch(group, json=patch({"op": "Replace", "path": "displayName", "value": "Mathematicians"}))
    found = (await scim.get(group)).json()
    assert (found["displayName"], found.get("members")) == ("Mathematicians", None)
    replaced = await scim.put(group, json={**body, "members": [{"value": bob["id"]}]})
    assert [member["value"] for member in replaced.json()["members"]] == [bob["id"]]
    assert (await scim.get(f"/scim/v2/Users/{bob['id']}")).json()["groups"][0]["display"] == "Analysts"
    short = (await scim.get("/scim/v2/Groups", params={"excludedAttributes": "members"})).json()["Resources"]
    assert "members" not in short[0]
    assert (await scim.delete(group)).status_code == 204
    assert_error(await scim.get(group), 404)


@pytest.mark.req("SEC-1")
async def test_a_role_of_a_provisioned_group_reaches_its_members(api: Api, scim: httpx.AsyncClient) -> None:
    await api.user("boss", "owner")
    boss = await api.log_in("boss")
    bob = await api.user("bob", member=False)
    client = await api.log_in("bob")
    body = {"schemas": [GROUP], "displayName": "Analysts", "members": [{"value": str(bob.id)}]}
    group = (await scim.post("/scim/v2/Groups", json=body)).json()
    workspace = f"/api/v1/workspaces/{api.tenant.workspace_id}"
    answer = await boss.put(f"{workspace}/members/group:{group['id']}", json={"role": "viewer"})
    assert answer.status_code in {200, 204}, answer.text
    assert [each["name"] for each in (await client.get("/api/v1/workspaces")).json()["items"]] == ["Main"]
    await scim.patch(f"/scim/v2/Groups/{group['id']}", json=patch({"op": "remove", "path": "members"}))
    assert (await client.get("/api/v1/workspaces")).json()["items"] == []


@pytest.mark.req("SEC-1")
async def test_paging_and_filters(api: Api, scim: httpx.AsyncClient) -> None:
    for number in range(5):
        await create(scim, userName=f"user{number}", externalId=f"x{number}", emails=[], active=number != 3)
    page = (await scim.get("/scim/v2/Users", params={"startIndex": 2, "count": 2})).json()
    assert (page["totalResults"], page["startIndex"], page["itemsPerPage"]) == (7, 2, 2)
    assert (await scim.get("/scim/v2/Users", params={"count": 0})).json()["Resources"] == []

    async def names(text: str) -> set[str]:
        answer = await scim.get("/scim/v2/Users", params={"filter": text, "attributes": "userName"})
        assert answer.status_code == 200, answer.text
        assert all("displayName" not in each for each in answer.json()["Resources"])
        return {each["userName"] for each in answer.json()["Resources"]}

    assert await names('externalId eq "x1"') == {"user1"}
    assert await names('userName sw "USER" and not (userName ew "1")') == {"user0", "user2", "user3", "user4"}
    assert await names('active eq false or externalId eq "x0"') == {"user0", "user3"}
    assert await names('userName co "%"') == set()
    assert await names('id eq "not an id"') == set()
    assert await names("externalId pr") == {f"user{number}" for number in range(5)}
    assert await names('userName eq "x\' OR 1=1 --"') == set()


@pytest.mark.req("SEC-1")
@pytest.mark.parametrize(
    ("text", "kind"),
    [("userName eq", "invalidFilter"), ('title eq "x"', "invalidFilter"), ("((", "invalidFilter"),
     ('emails[type eq "work"]', "invalidFilter"), ('password eq "x"', "invalidFilter"),
     ('userName eq "\0"', "invalidValue")],
)  # fmt: skip
async def test_filters_that_cannot_be(scim: httpx.AsyncClient, text: str, kind: str) -> None:
    assert_error(await scim.get("/scim/v2/Users", params={"filter": text}), 400, kind)


@pytest.mark.req("SEC-1")
async def test_a_directory_never_touches_owners_service_accounts_or_local_groups(
    api: Api, scim: httpx.AsyncClient
) -> None:
    boss = await api.user("boss", "owner")
    for request in (
        scim.patch(f"/scim/v2/Users/{boss.id}", json=patch({"op": "replace", "path": "active", "value": False})),
        scim.put(f"/scim/v2/Users/{boss.id}", json={**ADA, "userName": "boss"}),
        scim.delete(f"/scim/v2/Users/{boss.id}"),
    ):
        assert_error(await request, 400, "mutability")
    async with api.runtime.database.transaction(api.tenant.system) as session:
        robot = await create_user(session, api.tenant.organization_id, "robot", None, role="member", kind="service")
    assert_error(await scim.get(f"/scim/v2/Users/{robot.id}"), 404)
    client = await api.log_in("boss")
    local = (await client.post("/api/v1/groups", json={"name": "Local"})).json()
    assert_error(await scim.get(f"/scim/v2/Groups/{local['id']}"), 404)
    assert (await scim.get("/scim/v2/Groups")).json()["totalResults"] == 0
    body = {"schemas": [GROUP], "displayName": "local"}
    assert_error(await scim.post("/scim/v2/Groups", json=body), 409, "uniqueness")
    group = {"schemas": [GROUP], "displayName": "G", "members": [{"value": str(robot.id)}]}
    assert_error(await scim.post("/scim/v2/Groups", json=group), 400, "invalidValue")


@pytest.mark.req("SEC-1")
async def test_who_may_provision(api: Api) -> None:
    found = [each for each in routes(api, hidden=True) if each[1].startswith("/scim/v2")]
    assert len(found) >= 13
    for method, path, operation in found:
        assert operation == "scim", path
        assert_error(await api.client().request(method, path, json={}), 401)
    admin = await api.user("admin2", "admin")
    assert_error(await api.client().get("/scim/v2/Users"), 401)
    assert_error(await (await api.bearer(admin, "users:read", "users:write")).get("/scim/v2/Users"), 403)
    member = await api.user("member2")
    assert_error(await (await api.bearer(member, "scim")).get("/scim/v2/Users"), 403)
    scim = await api.bearer(admin, "scim")
    assert (await scim.get("/scim/v2/Users")).status_code == 200
    assert (await scim.get("/api/v1/users")).status_code == 403  # the scope is for this and nothing else


@pytest.mark.req("SEC-1")
async def test_people_of_another_organization_do_not_exist(api: Api, scim: httpx.AsyncClient) -> None:
    from tests.conftest import create_tenant

    other = await create_tenant(api.runtime.database)
    assert_error(await scim.get(f"/scim/v2/Users/{other.user_id}"), 404)
    assert_error(await scim.delete(f"/scim/v2/Users/{other.user_id}"), 404)
    group = {"schemas": [GROUP], "displayName": "G", "members": [{"value": str(other.user_id)}]}
    assert_error(await scim.post("/scim/v2/Groups", json=group), 400, "invalidValue")
    assert str(other.user_id) not in (await scim.get("/scim/v2/Users")).text


@pytest.mark.req("SEC-1")
@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ("not json", "invalidSyntax"),
        ("[]", "invalidSyntax"),
        ("[" * 100_000, "invalidSyntax"),
        ('{"schemas": ["' + USER + '"]}', "invalidValue"),
        ('{"schemas": ["' + USER + '"], "userName": 5}', None),
        ('{"schemas": ["' + USER + '"], "userName": "a b"}', "invalidValue"),
        ('{"schemas": ["' + USER + '"], "userName": "a\\u0000b"}', "invalidValue"),
        ('{"schemas": ["' + USER + '"], "userName": "x", "externalId": "a\\u0000"}', "invalidValue"),
        ('{"schemas": ["' + USER + '"], "userName": "\\ud800"}', None),
        ('{"schemas": ["' + USER + '"], "userName": "x", "emails": [{"value": "nonsense"}]}', None),
    ],
)
async def test_bodies_that_cannot_be(scim: httpx.AsyncClient, body: str, kind: str | None) -> None:
    answer = await scim.post("/scim/v2/Users", content=body, headers={"content-type": "application/scim+json"})
    assert answer.status_code == 400, answer.text
    if kind:
        assert_error(answer, 400, kind)


@pytest.mark.req("SEC-1")
async def test_a_patch_that_fails_changes_nothing(scim: httpx.AsyncClient) -> None:
    ada = await create(scim)
    place = f"/scim/v2/Users/{ada['id']}"
    bad = patch(
        {"op": "replace", "path": "displayName", "value": "Changed"}, {"op": "replace", "path": "id", "value": "x"}
    )
    assert_error(await scim.patch(place, json=bad), 400, "mutability")
    assert (await scim.get(place)).json()["displayName"] == "Ada Lovelace"
    assert (await scim.patch(place, json=patch({"op": "explode"}))).status_code == 400
    assert (await scim.patch(place, json=patch())).status_code == 400


@pytest.mark.req("SEC-1")
async def test_the_service_describes_itself(scim: httpx.AsyncClient) -> None:
    config = (await scim.get("/scim/v2/ServiceProviderConfig")).json()
    assert (config["patch"]["supported"], config["bulk"]["supported"], config["filter"]["maxResults"]) == (
        True,
        False,
        200,
    )
    kinds = (await scim.get("/scim/v2/ResourceTypes")).json()
    assert {each["id"] for each in kinds["Resources"]} == {"User", "Group"}
    schemas = (await scim.get("/scim/v2/Schemas")).json()["Resources"]
    assert {USER, GROUP} <= {each["id"] for each in schemas}
    assert (await scim.get(f"/scim/v2/Schemas/{USER}")).json()["id"] == USER
    assert_error(await scim.get("/scim/v2/Schemas/urn:nothing"), 404)
