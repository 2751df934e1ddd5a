"""The identity providers of an installation, ready to be asked."""

from collections.abc import Mapping

from opaa.identity.oidc import OidcClient, Transport
from opaa.settings import Settings
from opaa.settings.identity_providers import OidcProvider

AUTH_PATH = "/api/v1/auth"


def sign_on_clients(settings: Settings, transport: Transport) -> Mapping[str, OidcClient]:
    """A client by each provider's name. `transport` makes what their requests go through."""
    base = (settings.public_url or "").rstrip("/")
    clients: dict[str, OidcClient] = {}
    for provider in settings.sign_on:
        if isinstance(provider, OidcProvider):
            redirect_uri = f"{base}{AUTH_PATH}/oidc/{provider.name}/callback"
            clients[provider.name] = OidcClient(provider, redirect_uri, transport)
    return clients
