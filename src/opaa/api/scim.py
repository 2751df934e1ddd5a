"""SCIM 2.0 at /scim/v2: a directory provisions people and groups with an API token of the scope `scim`."""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from pydantic import ValidationError
from scim2_models import (
    AuthenticationScheme,
    Bulk,
    ChangePassword,
    Context,
    EnterpriseUser,
    Error,
    ETag,
    Filter,
    InvalidSyntaxException,
    InvalidValueException,
    ListResponse,
    NotFoundException,
    Patch,
    Resource,
    ResourceType,
    ResponseParameters,
    SCIMException,
    ServiceProviderConfig,
    Sort,
)
from scim2_models import Group as ScimGroup
from scim2_models import User as ScimUser

from opaa.api.dependencies import MayProvision, RuntimeDependency, SessionDependency
from opaa.errors import OpaaError
from opaa.identity.scim import MOST_RESULTS, PERSON_MODEL, Directory

MEDIA_TYPE = "application/scim+json"
PREFIX = "/scim/v2"


class ScimRoute(APIRoute):
    """Every error leaves as a SCIM error (RFC 7644, 3.12)."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handle_scim(request: Request) -> Response:
            try:
                return await handle(request)
            except SCIMException as error:
                return _answer(error.to_error(), error.status)
            except ValidationError as error:
                found = Error.from_validation_errors(error)[0]
                return _answer(found, found.status or 400)
            except RequestValidationError as error:
                return _answer(Error(status=400, scim_type="invalidValue", detail=str(error.errors()[0]["msg"])), 400)
            except OpaaError as error:
                status = 400 if error.status == 422 else error.status
                scim_type = "invalidValue" if status == 400 else None
                headers = {"WWW-Authenticate": "Bearer"} if status == 401 else None
                return _answer(Error(status=status, scim_type=scim_type, detail=error.message), status, headers)

        return handle_scim


router = APIRouter(prefix=PREFIX, route_class=ScimRoute, include_in_schema=False)


def open_directory(
    request: Request, identity: MayProvision, session: SessionDependency, runtime: RuntimeDependency
) -> Directory:
    """The organization's people and groups, for whoever may provision them."""
    return Directory(session, identity.organization_id, identity.actor, _base(request, runtime.settings.public_url))


DirectoryDependency = Annotated[Directory, Depends(open_directory)]
FilterText = Annotated[str | None, Query(alias="filter", max_length=2000)]
Start = Annotated[int, Query(alias="startIndex")]
Count = Annotated[int, Query()]


@dataclass(frozen=True, slots=True)
class Selection:
    """Which attributes an answer holds (RFC 7644, 3.9)."""

    attributes: str | None
    excluded: str | None

    @property
    def with_members(self) -> bool:
        return "members" not in (self.excluded or "").lower()

    def parameters(self, model: Any) -> ResponseParameters[Any] | None:  # noqa: ANN401 - a class of the library
        if self.attributes and self.excluded:
            raise InvalidValueException(detail="attributes and excludedAttributes exclude each other")
        if not self.attributes and not self.excluded:
            return None
        wanted = {"attributes": self.attributes} if self.attributes else {"excludedAttributes": self.excluded}
        found: ResponseParameters[Any] = ResponseParameters[model].model_validate(wanted)
        return found


def select_attributes(
    attributes: Annotated[str | None, Query(max_length=2000)] = None,
    excluded: Annotated[str | None, Query(alias="excludedAttributes", max_length=2000)] = None,
) -> Selection:
    return Selection(attributes, excluded)


Selected = Annotated[Selection, Depends(select_attributes)]


async def body_of(request: Request) -> dict[str, Any]:
    """The JSON object of a request. Raises InvalidSyntaxException."""
    try:
        found = await request.json()
    except (ValueError, RecursionError) as error:
        raise InvalidSyntaxException(detail="The request's body is not JSON") from error
    if not isinstance(found, dict):
        raise InvalidSyntaxException(detail="The request's body is not a JSON object")
    _refuse_nul(found)
    return found


Body = Annotated[dict[str, Any], Depends(body_of)]


@router.get("/Users")
async def list_users(
    directory: DirectoryDependency,
    selected: Selected,
    text: FilterText = None,
    start: Start = 1,
    count: Count = MOST_RESULTS,
) -> Response:
    _refuse_nul(text)
    found, total = await directory.list_users(text, start, count)
    return _list(found, total, start, selected.parameters(PERSON_MODEL))


@router.post("/Users")
async def create_user(directory: DirectoryDependency, body: Body) -> Response:
    return await _created(directory, await directory.create_user(body))


@router.get("/Users/{user_id}")
async def get_user(user_id: str, directory: DirectoryDependency, selected: Selected) -> Response:
    return _resource(await directory.get_user(user_id), selected.parameters(PERSON_MODEL))


@router.put("/Users/{user_id}")
async def replace_user(user_id: str, directory: DirectoryDependency, body: Body) -> Response:
    return await _changed(directory, await directory.replace_user(user_id, body))


@router.patch("/Users/{user_id}")
async def patch_user(user_id: str, directory: DirectoryDependency, body: Body) -> Response:
    return await _changed(directory, await directory.patch_user(user_id, body))


@router.delete("/Users/{user_id}")
async def delete_user(user_id: str, directory: DirectoryDependency) -> Response:
    """The account is disabled; an administrator deletes it for good."""
    await directory.delete_user(user_id)
    await directory.session.commit()
    return Response(status_code=204)


@router.get("/Groups")
async def list_groups(
    directory: DirectoryDependency,
    selected: Selected,
    text: FilterText = None,
    start: Start = 1,
    count: Count = MOST_RESULTS,
) -> Response:
    _refuse_nul(text)
    found, total = await directory.list_groups(text, start, count, with_members=selected.with_members)
    return _list(found, total, start, selected.parameters(ScimGroup))


@router.post("/Groups")
async def create_group(directory: DirectoryDependency, body: Body) -> Response:
    return await _created(directory, await directory.create_group(body))


@router.get("/Groups/{group_id}")
async def get_group(group_id: str, directory: DirectoryDependency, selected: Selected) -> Response:
    found = await directory.get_group(group_id, with_members=selected.with_members)
    return _resource(found, selected.parameters(ScimGroup))


@router.put("/Groups/{group_id}")
async def replace_group(group_id: str, directory: DirectoryDependency, body: Body) -> Response:
    return await _changed(directory, await directory.replace_group(group_id, body))


@router.patch("/Groups/{group_id}")
async def patch_group(group_id: str, directory: DirectoryDependency, body: Body) -> Response:
    return await _changed(directory, await directory.patch_group(group_id, body))


@router.delete("/Groups/{group_id}")
async def delete_group(group_id: str, directory: DirectoryDependency) -> Response:
    await directory.delete_group(group_id)
    await directory.session.commit()
    return Response(status_code=204)


@router.get("/ServiceProviderConfig")
async def service_provider_config(_: MayProvision) -> Response:
    """What this installation can do of SCIM."""
    config = ServiceProviderConfig(
        patch=Patch(supported=True),
        bulk=Bulk(supported=False, max_operations=0, max_payload_size=0),
        filter=Filter(supported=True, max_results=MOST_RESULTS),
        change_password=ChangePassword(supported=False),
        sort=Sort(supported=False),
        etag=ETag(supported=False),
        authentication_schemes=[
            AuthenticationScheme(
                type=AuthenticationScheme.Type.oauthbearertoken,
                name="API token",
                description="An API token with the scope scim, as a bearer token",
                primary=True,
            )
        ],
    )
    return _resource(config)


@router.get("/{kind}")
async def describe(kind: Literal["ResourceTypes", "Schemas"], _: MayProvision) -> Response:
    """The resources of this installation, or their schemas."""
    found = _descriptions(kind)
    return _list(found, len(found), 1)


@router.get("/{kind}/{name:path}")
async def describe_one(kind: Literal["ResourceTypes", "Schemas"], name: str, _: MayProvision) -> Response:
    for description in _descriptions(kind):
        if name.lower() in {str(description.id or "").lower(), str(getattr(description, "name", "")).lower()}:
            return _resource(description)
    raise NotFoundException(detail=f"There is no {kind} {name[:100]}")


def _descriptions(kind: str) -> list[Any]:
    if kind == "Schemas":
        return [model.to_schema() for model in (ScimUser, ScimGroup, EnterpriseUser)]
    return [ResourceType.from_resource(PERSON_MODEL), ResourceType.from_resource(ScimGroup)]


async def _created(directory: Directory, resource: Resource[Any]) -> Response:
    await directory.session.commit()
    location = str(resource.meta.location) if resource.meta else ""
    return _answer(resource, 201, {"Location": location}, Context.RESOURCE_CREATION_RESPONSE)


async def _changed(directory: Directory, resource: Resource[Any]) -> Response:
    await directory.session.commit()
    return _resource(resource)


def _resource(resource: Any, parameters: ResponseParameters[Any] | None = None) -> Response:  # noqa: ANN401
    return _answer(resource, 200, None, Context.RESOURCE_QUERY_RESPONSE, parameters)


def _list(found: list[Any], total: int, start: int, parameters: ResponseParameters[Any] | None = None) -> Response:
    items = [_dump(item, Context.RESOURCE_QUERY_RESPONSE, parameters) for item in found]
    envelope = {
        "schemas": [str(ListResponse.__schema__)],
        "totalResults": total,
        "startIndex": max(start, 1),
        "itemsPerPage": len(items),
        "Resources": items,
    }
    return _json(envelope, 200)


def _answer(
    model: Any,  # noqa: ANN401 - any message of SCIM
    status: int,
    headers: dict[str, str] | None = None,
    context: Context = Context.DEFAULT,
    parameters: ResponseParameters[Any] | None = None,
) -> Response:
    return _json(_dump(model, context, parameters), status, headers)


def _dump(model: Any, context: Context, parameters: ResponseParameters[Any] | None) -> dict[str, Any]:  # noqa: ANN401
    found: dict[str, Any] = model.model_dump(scim_ctx=context, response_parameters=parameters)
    return found


def _json(body: dict[str, Any], status: int, headers: dict[str, str] | None = None) -> Response:
    return JSONResponse(body, status, headers, media_type=MEDIA_TYPE)


def _base(request: Request, public_url: str | None) -> str:
    return (public_url or str(request.base_url)).rstrip("/") + PREFIX


def _refuse_nul(value: object) -> None:
    """No text of the database holds U+0000."""
    if isinstance(value, str) and "\0" in value:
        raise InvalidValueException(detail="A text holds the character U+0000")
    if isinstance(value, dict):
        for item in (*value.keys(), *value.values()):
            _refuse_nul(item)
    elif isinstance(value, list):
        for item in value:
            _refuse_nul(item)
