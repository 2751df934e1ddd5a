"""An OpenID Connect provider that says whatever a test wants, correctly signed or not.

After OpenID Connect Core 1.0 and Back-Channel Logout 1.0; the certified provider of oidc_peer.py cannot be made to lie.
"""

import base64
import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
from joserfc import jwt
from joserfc.jwk import OctKey, RSAKey

LOGOUT_EVENT = {"http://schemas.openid.net/event/backchannel-logout": {}}
Change = Callable[["HostileOidc", dict[str, Any]], Any]


def unsigned(header: dict[str, Any], claims: dict[str, Any], signature: str = "") -> str:
    parts = [json.dumps(header).encode(), json.dumps(claims).encode()]
    return ".".join([*(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts), signature])


@cache
def made_key(whose: str) -> RSAKey:
    """Each takes half a second to make."""
    return RSAKey.generate_key(2048, {"kid": "k1"})


@dataclass
class HostileOidc:
    """Answers discovery, keys, tokens and descriptions of people; `forge` turns right claims into the ID token."""

    issuer: str = "https://idp.example"
    client_id: str = "opaa"
    client_secret: str = "the client's secret"
    subject: str = "42"
    metadata: dict[str, Any] = field(default_factory=dict)
    user_info: dict[str, Any] = field(default_factory=dict)
    forge: Change | None = None
    token_answer: dict[str, Any] | None = None
    key: RSAKey = field(default_factory=lambda: made_key("its own"))
    other_key: RSAKey = field(default_factory=lambda: made_key("an attacker's"))
    nonce: str = ""
    requests: list[str] = field(default_factory=list)

    @property
    def transport(self) -> httpx2.MockTransport:
        return httpx2.MockTransport(self.answer)

    def began(self, location: str) -> dict[str, str]:
        """The parameters with which a browser was sent here."""
        parameters = {name: values[0] for name, values in parse_qs(urlsplit(location).query).items()}
        self.nonce = parameters["nonce"]
        return parameters

    def claims(self) -> dict[str, Any]:
        now = int(time.time())
        return {
            "iss": self.issuer,
            "sub": self.subject,
            "aud": self.client_id,
            "iat": now,
            "exp": now + 300,
            "nonce": self.nonce,
            "preferred_username": "somebody-else",
        }

    def sign(self, claims: dict[str, Any], *, key: Any = None, **header: Any) -> str:
        header = {"alg": "RS256", "kid": "k1", **header}
        return jwt.encode(header, claims, key or self.key, algorithms=[header["alg"]])

    def sign_shared(self, claims: dict[str, Any], secret: bytes) -> str:
        return jwt.encode({"alg": "HS256", "kid": "k1"}, claims, OctKey.import_key(secret), algorithms=["HS256"])

    def logout_claims(self) -> dict[str, Any]:
        claims = self.claims()
        del claims["nonce"]
        jti = hashlib.sha256(str(time.time_ns()).encode()).hexdigest()
        return {**claims, "jti": jti, "events": LOGOUT_EVENT}

    def answer(self, request: httpx2.Request) -> httpx2.Response:
        path = request.url.path
        self.requests.append(path)
        if path == "/.well-known/openid-configuration":
            found = {
                "issuer": self.issuer,
                "authorization_endpoint": f"{self.issuer}/auth",
                "token_endpoint": f"{self.issuer}/token",
                "jwks_uri": f"{self.issuer}/jwks",
                "userinfo_endpoint": f"{self.issuer}/me",
                "authorization_response_iss_parameter_supported": True,
            }
            return httpx2.Response(200, json={**found, **self.metadata})
        if path == "/jwks":
            return httpx2.Response(200, json={"keys": [self.key.as_dict(private=False)]})
        if path == "/me":
            return httpx2.Response(200, json={"sub": self.subject, **self.user_info})
        if path == "/token":
            if self.token_answer is not None:
                return httpx2.Response(200, json=self.token_answer)
            claims = self.claims()
            token = self.forge(self, claims) if self.forge else self.sign(claims)
            return httpx2.Response(
                200, json={"access_token": "a", "token_type": "Bearer", "expires_in": 60, "id_token": token}
            )
        return httpx2.Response(404)
