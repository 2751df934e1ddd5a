"""The identity providers of an installation, ready to be asked."""

from collections.abc import Mapping

from opaa.identity.oidc import OidcClient, Transport
from opaa.identity.saml import SamlClient
from opaa.settings import Settings
from opaa.settings.identity_providers import SamlProvider

AUTH_PATH = "/api/v1/auth"


def sign_on_clients(settings: Settings, transport: Transport) -> Mapping[str, OidcClient | SamlClient]:
    """A client by each provider's name. `transport` makes what their requests go through.

    Raises SettingsError when something that they need is not installed.
    """
    base = (settings.public_url or "").rstrip("/") + AUTH_PATH
    clients: dict[str, OidcClient | SamlClient] = {}
    for provider in settings.sign_on:
        if isinstance(provider, SamlProvider):
            place = f"{base}/saml/{provider.name}"
            clients[provider.name] = SamlClient(provider, f"{place}/metadata", f"{place}/acs", transport)
        else:
            clients[provider.name] = OidcClient(provider, f"{base}/oidc/{provider.name}/callback", transport)
    return clients
