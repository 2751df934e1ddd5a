"""What an identity provider says about a person, and what may go wrong while it is asked."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from opaa.errors import AuthenticationError
from opaa.settings.identity_providers import OidcProvider, SamlProvider

LONGEST_VALUE = 2000
MOST_VALUES = 500

Reason = Literal[
    "cancelled",  # the person, or the provider, said no
    "expired",  # the log-in took too long, was used already or began in another browser
    "unavailable",  # the provider cannot be reached
    "invalid",  # the provider's answer cannot be trusted
    "refused",  # the answer is right, but this person has no account here and gets none
]


class SignOnError(AuthenticationError):
    """A log-in through an identity provider that failed. `reason` is stable and shown to the person.

    The message is for the operator: what exactly was wrong with the provider's answer, without its contents.
    """

    code = "sign-on"

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason: Reason = reason
        # Who it was, once that is certain: what an administrator needs to link the account by hand.
        self.who: dict[str, str] = {}


@dataclass(frozen=True, slots=True)
class ExternalIdentity:
    """Somebody as a provider describes them, after every signature was checked; `(issuer, subject)` is who it is."""

    issuer: str
    subject: str
    login: str
    email: str
    email_verified: bool
    display_name: str
    values: tuple[str, ...]  # of the provider's group claims
    session: str | None = None


def external_identity(
    provider: OidcProvider | SamlProvider,
    issuer: str,
    subject: str,
    claims: Mapping[str, Any],
    *,
    session: str | None = None,
) -> ExternalIdentity:
    """The parts of `claims` that the provider's settings name. Raises SignOnError for a missing or absurd subject."""
    if not subject or len(subject) > LONGEST_VALUE:
        raise SignOnError("invalid", "the provider's answer names nobody")
    values: list[str] = []
    for name in provider.group_claims:
        values.extend(texts(claim(claims, name)))
    return ExternalIdentity(
        issuer=issuer,
        subject=subject,
        login=first(claim(claims, provider.login_claim)),
        email=first(claim(claims, provider.email_claim)),
        # A text counts too: SAML has no others, and some OpenID providers send one.
        email_verified=first(claim(claims, provider.email_verified_claim)).lower() == "true",
        display_name=first(claim(claims, provider.name_claim)),
        values=tuple(dict.fromkeys(values))[:MOST_VALUES],
        session=session,
    )


def claim(claims: Mapping[str, Any], name: str) -> object:
    """A claim by its name, or by a path of names joined by dots."""
    if name in claims:
        return claims[name]
    found: Any = claims
    for part in name.split("."):
        if not isinstance(found, Mapping) or part not in found:
            return None
        found = found[part]
    return found


def texts(value: object) -> list[str]:
    """The texts of a claim with one value or several."""
    items = value if isinstance(value, (list, tuple)) else [value]
    return [str(item)[:LONGEST_VALUE] for item in items if isinstance(item, (str, int, bool)) and str(item)]


def first(value: object) -> str:
    return next(iter(texts(value)), "")
