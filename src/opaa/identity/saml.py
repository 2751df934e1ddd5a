"""Log-in at a SAML 2.0 identity provider by pysaml2: this installation is a service provider (Web Browser SSO)."""

import asyncio
import logging
import shutil
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
from saml2 import BINDING_HTTP_POST, BINDING_HTTP_REDIRECT, SAMLError
from saml2.client import Saml2Client
from saml2.config import SPConfig
from saml2.metadata import entity_descriptor
from saml2.saml import NAMEID_FORMAT_TRANSIENT

from opaa.egress import client as egress
from opaa.egress.policy import EgressRefusedError
from opaa.errors import SettingsError
from opaa.identity.external import ExternalIdentity, SignOnError, external_identity, first
from opaa.identity.flows import Flow
from opaa.identity.oidc import Transport
from opaa.identity.saml_structure import checked_response
from opaa.settings.identity_providers import SamlProvider

# It logs names and parts of responses; what went wrong is in our own log and in the audit log.
logging.getLogger("saml2").setLevel(logging.CRITICAL)

SKEW_S = 60
METADATA_LIFETIME_S = 6 * 3600.0
LONGEST_VALIDITY = timedelta(hours=24)


class SamlClient:
    """One provider. Its metadata is read again every six hours; until then, and while it is away, the last is used."""

    def __init__(
        self, provider: SamlProvider, metadata_url: str, acs: str, transport: Transport, timeout_s: float = 10
    ) -> None:
        self.provider = provider
        self.acs = acs
        self.entity_id = provider.entity_id or metadata_url
        self._transport = transport
        self._timeout_s = timeout_s
        self._config: SPConfig | None = None
        self._until = 0.0
        self._lock = asyncio.Lock()
        self._xmlsec = shutil.which("xmlsec1")
        if self._xmlsec is None:
            raise SettingsError("SAML needs the program xmlsec1 (Debian: apt-get install xmlsec1)")

    async def authorization_url(self, flow: Flow) -> str:
        """Where the person logs in. Raises SignOnError when the metadata cannot be had."""
        config = await self.config()

        def request() -> str:
            _, info = Saml2Client(config=config).prepare_for_authenticate(
                entityid=_idp(config),
                relay_state=flow.id,
                binding=BINDING_HTTP_REDIRECT,
                message_id=flow.state,
            )
            return str(dict(info["headers"])["Location"])

        try:
            return await asyncio.to_thread(request)
        except SAMLError as error:
            raise SignOnError("unavailable", f"the provider's metadata does not do: {type(error).__name__}") from error

    async def identify(self, encoded: str) -> tuple[ExternalIdentity, str, str, datetime]:
        """Who the response is about, the request that it answers, its assertion's id and until when it is valid.

        Raises SignOnError. The caller still has to see that the request was this browser's, and the id is new.
        """
        config = await self.config()
        idp = _idp(config)
        root = checked_response(encoded, acs=self.acs, entity_id=self.entity_id, idp=idp)
        request = str(root.get("InResponseTo"))

        def parse() -> Any:  # noqa: ANN401 - pysaml2 has no types
            client = Saml2Client(config=config)
            return client.parse_authn_request_response(encoded, BINDING_HTTP_POST, outstanding={request: "/"})

        try:
            response = await asyncio.to_thread(parse)
        except Exception as error:
            # pysaml2 raises many kinds, also bare Exception, for signatures, times and audiences that are not right.
            raise SignOnError("invalid", f"the SAML response is not right: {type(error).__name__}") from error
        if response is None or response.assertion is None or len(response.assertions) != 1:
            raise SignOnError("invalid", "the SAML response is not right")
        until = datetime.fromtimestamp(response.not_on_or_after, UTC) + timedelta(seconds=SKEW_S)
        if until > datetime.now(UTC) + LONGEST_VALIDITY:
            raise SignOnError("invalid", "the assertion is valid for more than a day")
        return self._external(response, idp), request, str(response.assertion.id), until

    async def metadata(self) -> str:
        """What the provider has to know about this installation, as XML."""
        config = SPConfig().load(self._settings(None))
        return str(await asyncio.to_thread(lambda: entity_descriptor(config)))

    async def config(self) -> SPConfig:
        """pysaml2's configuration with the provider's metadata. Raises SignOnError."""
        async with self._lock:
            if self._config is None or time.monotonic() >= self._until:
                try:
                    xml = await self._provider_metadata()
                    config = await asyncio.to_thread(lambda: SPConfig().load(self._settings(xml)))
                    _idp(config)
                except SignOnError:
                    if self._config is None:
                        raise
                except Exception as error:
                    if self._config is None:
                        message = f"the provider's metadata cannot be read: {type(error).__name__}"
                        raise SignOnError("unavailable", message) from error
                else:
                    self._config = config
                self._until = time.monotonic() + METADATA_LIFETIME_S
            return self._config

    async def _provider_metadata(self) -> str:
        if self.provider.metadata_file is not None:
            try:
                return await asyncio.to_thread(self.provider.metadata_file.read_text, encoding="utf-8")
            except (OSError, UnicodeDecodeError) as error:
                raise SignOnError("unavailable", f"{self.provider.metadata_file} cannot be read") from error
        url = self.provider.metadata_url or ""
        try:
            async with egress.client(self._transport(), timeout_s=self._timeout_s) as client:
                response = await client.get(url)
                response.raise_for_status()
                return response.text
        except EgressRefusedError as error:
            raise SignOnError("unavailable", error.message) from error
        except (httpx2.HTTPError, TimeoutError) as error:
            raise SignOnError("unavailable", f"{url} cannot be reached: {type(error).__name__}") from error

    def _settings(self, metadata: str | None) -> dict[str, Any]:
        return {
            "entityid": self.entity_id,
            "service": {
                "sp": {
                    "endpoints": {"assertion_consumer_service": [(self.acs, BINDING_HTTP_POST)]},
                    "allow_unsolicited": False,
                    "authn_requests_signed": False,
                    "want_assertions_signed": True,
                    "want_response_signed": True,
                }
            },
            "metadata": {"inline": [metadata]} if metadata else {},
            "accepted_time_diff": SKEW_S,
            "allow_unknown_attributes": True,
            "xmlsec_binary": self._xmlsec,
        }

    def _external(self, response: Any, idp: str) -> ExternalIdentity:  # noqa: ANN401 - pysaml2 has no types
        attributes: dict[str, Any] = dict(response.ava or {})
        if self.provider.subject_claim:
            subject = first(attributes.get(self.provider.subject_claim))
        elif response.name_id is None or response.name_id.format == NAMEID_FORMAT_TRANSIENT:
            raise SignOnError(
                "invalid", "the NameID is transient: have the provider send another, or set subject_claim"
            )
        else:
            subject = str(response.name_id.text or "").strip()
        session = response.session_info().get("session_index")
        return external_identity(
            self.provider, idp, subject, attributes, session=session if isinstance(session, str) else None
        )


def _idp(config: SPConfig) -> str:
    """The one identity provider of the metadata. Raises SignOnError where there is none, or more."""
    found = list(config.metadata.with_descriptor("idpsso")) if config.metadata else []
    if len(found) != 1:
        raise SignOnError("unavailable", f"the metadata has {len(found)} identity providers instead of one")
    return str(found[0])
