"""Log-in at an OpenID Connect provider (OpenID Connect Core 1.0, code flow with PKCE, RFC 7636) by Authlib."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import httpx2
from authlib.common.errors import AuthlibBaseError
from authlib.integrations.httpx_client import AsyncOAuth2Client
from authlib.oauth2.claims import JWTClaims
from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from joserfc.jws import JWSRegistry, extract_compact

from opaa.egress import client as egress
from opaa.egress.policy import EgressRefusedError
from opaa.identity.external import ExternalIdentity, SignOnError, external_identity
from opaa.identity.flows import Flow
from opaa.settings.identity_providers import OidcProvider

# Signatures with the provider's public key only: with `none` or HS256 anybody could make a token.
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519")
SKEW_S = 60
METADATA_LIFETIME_S = 3600.0
KEYS_NOT_BEFORE_S = 30.0
LOGOUT_EVENT = "http://schemas.openid.net/event/backchannel-logout"
UNREACHABLE = (httpx2.HTTPError, TimeoutError, EgressRefusedError)
REQUIRED = ("issuer", "authorization_endpoint", "token_endpoint", "jwks_uri")

Transport = Callable[[], httpx2.AsyncBaseTransport]


class OidcClient:
    """One provider. What it publishes is kept for an hour, its keys until a token names one that is not among them."""

    def __init__(self, provider: OidcProvider, redirect_uri: str, transport: Transport, timeout_s: float = 10) -> None:
        self.provider = provider
        self.redirect_uri = redirect_uri
        self._transport = transport
        self._timeout_s = timeout_s
        self._metadata: dict[str, Any] | None = None
        self._metadata_until = 0.0
        self._keys: KeySet | None = None
        self._keys_again_at = 0.0
        self._lock = asyncio.Lock()

    async def authorization_url(self, flow: Flow) -> str:
        """Where the person logs in. Raises SignOnError when the provider cannot be reached."""
        metadata = await self.metadata()
        async with self._client(metadata) as client:
            url, _ = client.create_authorization_url(
                metadata["authorization_endpoint"], state=flow.state, nonce=flow.nonce, code_verifier=flow.verifier
            )
        return str(url)

    async def identify(self, flow: Flow, code: str, issuer: str | None) -> ExternalIdentity:
        """Who came back with a code. `issuer` is the parameter `iss` (RFC 9207). Raises SignOnError."""
        metadata = await self.metadata()
        if issuer is None and metadata.get("authorization_response_iss_parameter_supported"):
            raise SignOnError("invalid", "the answer does not say which provider sent it")
        if issuer is not None and issuer != self.provider.issuer:
            raise SignOnError("invalid", "another provider sent the answer")
        async with self._client(metadata) as client:
            try:
                token = await client.fetch_token(
                    metadata["token_endpoint"],
                    grant_type="authorization_code",
                    code=code,
                    code_verifier=flow.verifier,
                    redirect_uri=self.redirect_uri,
                )
            except UNREACHABLE as error:
                raise self._unreachable(error) from error
            except (AuthlibBaseError, ValueError, TypeError) as error:
                raise SignOnError("invalid", f"the provider did not take the code: {_short(error)}") from error
            claims = await self._id_token(token, flow.nonce)
            if metadata.get("userinfo_endpoint") and token.get("access_token"):
                claims = {**await self._user_info(client, metadata["userinfo_endpoint"], claims["sub"]), **claims}
        session = claims.get("sid")
        return external_identity(
            self.provider,
            self.provider.issuer,
            str(claims["sub"]),
            claims,
            session=session if isinstance(session, str) else None,
        )

    async def logout_token(self, token: str) -> dict[str, Any]:
        """The claims of a logout token (OpenID Connect Back-Channel Logout 1.0, section 2.6). Raises SignOnError."""
        header, claims = await self._decode(token)
        if header.get("typ") not in {None, "JWT", "logout+jwt"}:
            raise SignOnError("invalid", "the token is no logout token")
        try:
            options = {"iss": {"essential": True, "value": self.provider.issuer}, **_audience(self.provider.client_id)}
            required = {"iat": {"essential": True}, "jti": {"essential": True}, "exp": {"essential": True}}
            JWTClaims(claims, header, options={**options, **required}).validate(leeway=SKEW_S)
        except (JoseError, ValueError, TypeError) as error:
            raise SignOnError("invalid", f"the logout token is not right: {_short(error)}") from error
        events = claims.get("events")
        if not isinstance(events, dict) or not isinstance(events.get(LOGOUT_EVENT), dict) or "nonce" in claims:
            raise SignOnError("invalid", "the token is no logout token")
        if not isinstance(claims.get("jti"), str) or not (claims.get("sid") or claims.get("sub")):
            raise SignOnError("invalid", "the logout token names nobody")
        return claims

    async def metadata(self) -> dict[str, Any]:
        """What the provider publishes (OpenID Connect Discovery 1.0). Raises SignOnError."""
        async with self._lock:
            if self._metadata is None or time.monotonic() >= self._metadata_until:
                url = self.provider.issuer.rstrip("/") + "/.well-known/openid-configuration"
                found = await self._get_json(url)
                missing = [name for name in REQUIRED if not isinstance(found.get(name), str)]
                if missing:
                    raise SignOnError("unavailable", f"{url} lacks {', '.join(missing)}")
                if found["issuer"] != self.provider.issuer:
                    raise SignOnError("unavailable", f"{url} says that it is another issuer")
                self._metadata, self._metadata_until = found, time.monotonic() + METADATA_LIFETIME_S
            return self._metadata

    async def _id_token(self, token: dict[str, Any], nonce: str) -> dict[str, Any]:
        """The claims of the ID token, checked (OpenID Connect Core 1.0, section 3.1.3.7)."""
        value = token.get("id_token")
        if not isinstance(value, str):
            raise SignOnError("invalid", "the provider sent no ID token")
        header, claims = await self._decode(value)
        if header.get("typ") == "logout+jwt":
            raise SignOnError("invalid", "a logout token is no ID token")
        options = {"iss": {"essential": True, "value": self.provider.issuer}, **_audience(self.provider.client_id)}
        checks = {"nonce": nonce, "client_id": self.provider.client_id, "access_token": token.get("access_token")}
        try:
            CodeIDToken(claims, header, options=options, params=checks).validate(leeway=SKEW_S)
        except (JoseError, ValueError, TypeError) as error:
            raise SignOnError("invalid", f"the ID token is not right: {_short(error)}") from error
        if not isinstance(claims["sub"], str):
            raise SignOnError("invalid", "the ID token's subject is no text")
        return claims

    async def _decode(self, value: str) -> tuple[dict[str, Any], dict[str, Any]]:
        """Header and claims of a signed token, with the provider's keys, fetched anew when it has changed them."""
        metadata = await self.metadata()
        try:
            header = dict(extract_compact(value.encode()).headers())
            if header.get("alg") not in ALGORITHMS:
                raise SignOnError("invalid", f"tokens signed with {str(header.get('alg'))[:20]!r} are not accepted")
            keys = await self._key_set(metadata["jwks_uri"], header.get("kid"))
            registry = JWSRegistry(algorithms=list(ALGORITHMS))
            decoded = jwt.decode(value, keys, algorithms=list(ALGORITHMS), registry=registry)
        except (JoseError, ValueError, TypeError, KeyError) as error:
            raise SignOnError("invalid", f"the token's signature is not right: {_short(error)}") from error
        return dict(decoded.header), decoded.claims

    async def _key_set(self, jwks_uri: str, key_id: object) -> KeySet:
        async with self._lock:
            known = self._keys is not None and (key_id is None or any(key.kid == key_id for key in self._keys.keys))
            if known and self._keys is not None:
                return self._keys
            # Tokens with made-up key ids must not make this installation hammer the provider.
            if self._keys is None or time.monotonic() >= self._keys_again_at:
                if self._keys is not None:
                    self._keys_again_at = time.monotonic() + KEYS_NOT_BEFORE_S
                found = await self._get_json(jwks_uri)
                signing = [
                    key
                    for key in found.get("keys", [])
                    if isinstance(key, dict) and key.get("use", "sig") == "sig" and key.get("kty") != "oct"
                ]
                self._keys = KeySet.import_key_set({"keys": signing})
            return self._keys

    async def _user_info(self, client: AsyncOAuth2Client, url: str, subject: object) -> dict[str, Any]:
        try:
            response = await client.get(url, headers={"Accept": "application/json"})
            response.raise_for_status()
            found = response.json()
        except UNREACHABLE as error:
            raise self._unreachable(error) from error
        except (AuthlibBaseError, ValueError) as error:
            raise SignOnError("invalid", f"the provider's description of the person: {_short(error)}") from error
        if not isinstance(found, dict) or found.get("sub") != subject:
            raise SignOnError("invalid", "the provider described somebody else")
        return found

    async def _get_json(self, url: str) -> dict[str, Any]:
        try:
            async with egress.client(self._transport(), timeout_s=self._timeout_s) as client:
                response = await client.get(url, headers={"Accept": "application/json"})
                response.raise_for_status()
                found = response.json()
        except UNREACHABLE as error:
            raise self._unreachable(error) from error
        except ValueError as error:
            raise SignOnError("unavailable", f"{url} is not JSON") from error
        if not isinstance(found, dict):
            raise SignOnError("unavailable", f"{url} is not a JSON object")
        return found

    def _client(self, metadata: dict[str, Any]) -> AsyncOAuth2Client:
        secret = self.provider.client_secret
        methods = metadata.get("token_endpoint_auth_methods_supported") or ["client_secret_basic"]
        method = "client_secret_basic" if "client_secret_basic" in methods else "client_secret_post"
        return AsyncOAuth2Client(
            client_id=self.provider.client_id,
            client_secret=secret.get_secret_value() if secret else None,
            token_endpoint_auth_method=method if secret else "none",
            scope=" ".join(self.provider.scopes),
            redirect_uri=self.redirect_uri,
            code_challenge_method="S256",
            leeway=0,  # the token is used at once, however short its life
            transport=self._transport(),
            timeout=self._timeout_s,
            trust_env=False,
        )

    def _unreachable(self, error: Exception) -> SignOnError:
        return SignOnError("unavailable", f"{self.provider.issuer} cannot be reached: {_short(error)}")


def _audience(client_id: str) -> dict[str, Any]:
    return {"aud": {"essential": True, "value": client_id}}


def _short(error: Exception) -> str:
    """What kind of error it was; never the text of a provider, which may hold anything."""
    if isinstance(error, EgressRefusedError):
        return error.message
    name = getattr(error, "error", None)
    if isinstance(error, httpx2.HTTPStatusError):
        return f"status {error.response.status_code}"
    return f"{type(error).__name__} {name}"[:100] if isinstance(name, str) else type(error).__name__
