"""Identity providers as the operator configures them: OpenID Connect and SAML 2.0, and what their claims mean here.

They are settings and nothing else: no request can add or change one.
"""

import json
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, model_validator

WorkspaceRole = Literal["admin", "editor", "viewer"]
# Nobody becomes an owner because another system says so.
MappedRole = Literal["admin", "auditor", "member"]


class ClaimMapping(BaseModel):
    """What one value of a person's group or role claims gives: a group, roles in workspaces, a role here."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    group: Annotated[str | None, Field(min_length=1, max_length=200)] = None
    workspaces: dict[str, WorkspaceRole] = {}
    role: MappedRole | None = None


class _IdentityProvider(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,39}$")]
    label: Annotated[str, Field(max_length=60)] = ""
    organization: str = "default"
    # Whether somebody's first log-in makes an account.
    sign_up: bool = True
    # An existing account with the same e-mail address is joined only for these domains, and a verified address.
    trusted_email_domains: tuple[str, ...] = ()
    login_claim: str = "preferred_username"
    email_claim: str = "email"
    email_verified_claim: str = "email_verified"
    name_claim: str = "name"
    # The claims whose values are groups or roles; a dot goes into an object (`realm_access.roles`).
    group_claims: tuple[str, ...] = ("groups",)
    mapping: dict[str, ClaimMapping] = {}
    # Whether values that `mapping` does not name become groups of that name.
    create_groups: bool = False

    @property
    def title(self) -> str:
        return self.label or self.name

    @property
    def origin(self) -> str:
        """Who keeps the memberships that this provider's claims make."""
        return f"provider:{self.name}"


class OidcProvider(_IdentityProvider):
    """An OpenID Connect provider; everything else about it is discovered at its issuer."""

    kind: Literal["oidc"]
    issuer: str
    client_id: Annotated[str, Field(min_length=1)]
    client_secret: SecretStr | None = None
    scopes: tuple[str, ...] = ("openid", "profile", "email")

    @model_validator(mode="before")
    @classmethod
    def _read_secret(cls, data: Any) -> Any:  # noqa: ANN401 - whatever was configured
        if isinstance(data, dict) and "client_secret_file" in data:
            data = dict(data)
            path = Path(str(data.pop("client_secret_file")))
            if data.get("client_secret"):
                raise ValueError("client_secret and client_secret_file are both set; keep one")
            try:
                data["client_secret"] = path.read_text(encoding="utf-8").strip()
            except (OSError, UnicodeDecodeError) as error:
                raise ValueError(f"client_secret_file names {path}, which cannot be read") from error
        return data

    @model_validator(mode="after")
    def _check(self) -> Self:
        parts = urlsplit(self.issuer)
        if parts.scheme not in {"https", "http"} or not parts.hostname or parts.query or parts.fragment:
            raise ValueError("issuer must look like https://login.example.com/realm")
        if "openid" not in self.scopes:
            raise ValueError("scopes must hold openid")
        return self


class SamlProvider(_IdentityProvider):
    """A SAML 2.0 identity provider, known by its metadata."""

    kind: Literal["saml"]
    metadata_file: Path | None = None
    metadata_url: str | None = None
    # What this installation calls itself; unset is the address of its own metadata.
    entity_id: str | None = None
    # The attribute that says who it is; unset is the assertion's NameID, which must then not be transient.
    subject_claim: str | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.metadata_file is None) == (self.metadata_url is None):
            raise ValueError("a SAML provider has either metadata_file or metadata_url")
        if self.metadata_url and urlsplit(self.metadata_url).scheme not in {"https", "http"}:
            raise ValueError("metadata_url must look like https://login.example.com/metadata")
        return self


IdentityProvider = Annotated[OidcProvider | SamlProvider, Field(discriminator="kind")]


def _from_json(value: Any) -> Any:  # noqa: ANN401 - what the environment or the file holds
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except json.JSONDecodeError as error:
        raise ValueError(f"must be a JSON list of providers; {error.msg} at character {error.pos}") from None


def _unique(providers: tuple[OidcProvider | SamlProvider, ...]) -> tuple[OidcProvider | SamlProvider, ...]:
    names = [provider.name for provider in providers]
    if repeated := next((name for name in names if names.count(name) > 1), None):
        raise ValueError(f"two identity providers are named {repeated}")
    return providers


IdentityProviders = Annotated[tuple[IdentityProvider, ...], BeforeValidator(_from_json)]


def combined(
    configured: tuple[OidcProvider | SamlProvider, ...],
    issuer: str | None,
    client_id: str | None,
    client_secret: SecretStr | None,
) -> tuple[OidcProvider | SamlProvider, ...]:
    """The list, and the one provider that the short settings OAUTH_… name, called `oidc`. Raises ValueError."""
    if issuer and client_id:
        short = OidcProvider(
            kind="oidc",
            name="oidc",
            label=urlsplit(issuer).hostname or "",
            issuer=issuer,
            client_id=client_id,
            client_secret=client_secret,
        )
        configured = (*configured, short)
    return _unique(configured)
