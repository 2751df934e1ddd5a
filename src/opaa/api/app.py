"""Puts the application together."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

from fastapi import APIRouter, FastAPI, Request
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import FileResponse, JSONResponse

from opaa import __version__
from opaa.api import health, problems, scim
from opaa.api.middleware import RequestMiddleware
from opaa.api.problems import Problem, problem, response
from opaa.api.rate_limits import RateLimits
from opaa.api.v1 import (
    access,
    ask,
    audit,
    auth,
    conversations,
    documents,
    groups,
    organization,
    search,
    service_accounts,
    sessions,
    sources,
    sso,
    tokens,
    users,
    workspaces,
)
from opaa.runtime import Runtime, keeping_audit, open_runtime
from opaa.settings import Settings

STATIC = Path(__file__).parent / "static"
DESCRIPTION = "Answers an organization's questions from its own documents, with citations."
ROUTERS = (
    auth,
    sso,
    ask,
    search,
    documents,
    sources,
    workspaces,
    conversations,
    tokens,
    sessions,
    users,
    groups,
    service_accounts,
    access,
    audit,
    organization,
)
PROBLEMS = {
    status: {"model": Problem, "content": {problems.MEDIA_TYPE: {}}}
    for status in (400, 401, 403, 404, 409, 413, 422, 429, 503)
}


def create_app(
    settings: Settings, runtime: Callable[[Settings], AbstractAsyncContextManager[Runtime]] = open_runtime
) -> RequestMiddleware:
    """The whole of HTTP. The runtime is opened when the server starts and closed when it stops."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with runtime(settings) as opened, keeping_audit(opened):
            app.state.runtime = opened
            yield

    app = FastAPI(
        title="OPAA",
        version=__version__,
        description=DESCRIPTION,
        lifespan=lifespan,
        redoc_url=None,
        swagger_ui_oauth2_redirect_url=None,
        docs_url=None,
    )
    limits = app.state.rate_limits = RateLimits(settings)
    problems.install(app)
    app.include_router(health.router)
    if settings.enable_api:
        version_1 = APIRouter(prefix="/api/v1", responses=PROBLEMS)  # type: ignore[arg-type]
        for module in ROUTERS:
            version_1.include_router(module.router)
        app.include_router(version_1)
        app.include_router(scim.router)

        @app.api_route("/api/{path:path}", methods=["GET", "POST", "PUT", "PATCH", "DELETE"], include_in_schema=False)
        async def unknown(path: str, request: Request) -> JSONResponse:
            return response(problem(request, 404, "not-found", f"There is no resource /api/{path[:200]}"))

    if settings.enable_web_ui:
        _serve_ui(app)
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(settings.cors_origins),
            allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
            allow_headers=["Authorization", "Content-Type"],
        )
    return RequestMiddleware(app, settings, limits)


def _serve_ui(app: FastAPI) -> None:
    """The built web UI: its files, and its one page for every other address."""

    @app.get("/{path:path}", include_in_schema=False, response_model=None)
    async def page(path: str, request: Request) -> FileResponse | JSONResponse:
        path = path.replace("\0", "")  # no file system takes it
        file = (STATIC / path).resolve()
        if path and file.is_relative_to(STATIC) and file.is_file():
            immutable = path.startswith("assets/")
            caching = "public, max-age=31536000, immutable" if immutable else "no-cache"
            return FileResponse(file, headers={"Cache-Control": caching})
        if path.startswith("assets/") or not (STATIC / "index.html").is_file():
            detail = f"There is no page /{path[:200]}"
            if not (STATIC / "index.html").is_file():
                detail = "The web UI is not built: run `make web`"
            return response(problem(request, 404, "not-found", detail))
        return FileResponse(STATIC / "index.html", headers={"Cache-Control": "no-cache"})
