"""Every operation of the OpenAPI document, with input that fits its schema roughly: never an error of ours."""

import random
import re
from typing import Any

import pytest

from opaa.access.permissions import SCOPES
from tests.integration.api.conftest import Api

TEXTS = ["", "x", "Main", "ü🖨️" * 20, "' OR 1=1 --", "\0", "%", "9" * 400, "01900000-0000-7000-8000-000000000000"]
NUMBERS = [-1, 0, 1, 5, 2**31, 2**63, 10**30, 0.5]
ENDLESS = "/api/v1/events"
ENDS_THE_SESSION = {"/api/v1/auth/logout"}


def value(schema: dict[str, Any], components: dict[str, Any], dice: random.Random) -> Any:  # noqa: PLR0911 - a case each
    """Something for the schema, one time in six something else altogether."""
    if dice.random() < 1 / 6:
        return dice.choice([None, [], {}, "x", -1, True, {"a": ["b"]}])
    if "$ref" in schema:
        return value(components[schema["$ref"].rsplit("/", 1)[-1]], components, dice)
    for several in ("anyOf", "oneOf"):
        if several in schema:
            return value(dice.choice(schema[several]), components, dice)
    if "enum" in schema:
        return dice.choice(schema["enum"])
    match schema.get("type"):
        case "object":
            fields = schema.get("properties", {})
            return {name: value(part, components, dice) for name, part in fields.items() if dice.random() < 0.9}
        case "array":
            return [value(schema["items"], components, dice) for _ in range(dice.randrange(3))]
        case "integer" | "number":
            return dice.choice(NUMBERS)
        case "boolean":
            return dice.random() < 0.5
        case "null":
            return None
        case _:
            return dice.choice(TEXTS)


@pytest.mark.slow
@pytest.mark.req("API-2")
async def test_no_operation_fails_whatever_it_is_sent(api: Api) -> None:
    user = await api.user("boss", "owner")
    client = await api.bearer(user, *SCOPES)
    source = await api.index({"a.md": "# A\n\nText."})
    document = api.app.app.openapi()
    components = document["components"]["schemas"]
    dice = random.Random(20)
    ids = [TEXTS[-1], str(source.id), str(api.tenant.workspace_id), "x"]
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            if path == ENDLESS or path in ENDS_THE_SESSION:
                continue
            for _ in range(8):
                url = re.sub(r"\{[^}]+\}", lambda _: dice.choice(ids), path)
                parameters = [part for part in operation.get("parameters", []) if part["in"] == "query"]
                query = {part["name"]: value(part["schema"], components, dice) for part in parameters}
                content = operation.get("requestBody", {}).get("content", {})
                sent: dict[str, Any] = {}
                if "application/json" in content:
                    sent["json"] = value(content["application/json"]["schema"], components, dice)
                elif content:
                    sent["data"] = {"workspace": dice.choice(TEXTS)}
                    sent["files"] = {"file": (dice.choice(TEXTS), b"x")}
                shown = {name: str(part) for name, part in query.items() if part is not None}
                answer = await client.request(method, url, params=shown, **sent)
                assert answer.status_code < 500, (method, url, shown, sent, answer.text)
                if answer.status_code >= 400:
                    assert answer.headers["content-type"] == "application/problem+json", answer.text
