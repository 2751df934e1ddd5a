"""What is wrong or unsafe in a configuration, in sentences that name the setting."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from pathlib import Path
from urllib.parse import urlsplit

from cron_descriptor import get_description
from pydantic import ValidationError

from opaa.egress.policy import EgressPolicy
from opaa.errors import SettingsError
from opaa.settings.identity_providers import OidcProvider
from opaa.settings.load import InvalidSettingsError, load, misspelt
from opaa.settings.model import Settings, environment_name, is_secret, is_used

WEAK_SECRETS = {"secret", "changeme", "change-me", "password", "opaa", "default", "test", "insecure"}


@dataclass
class Report:
    """`problems` stop the start; `warnings` do not; `schedules` says each schedule in words."""

    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    schedules: list[str] = field(default_factory=list)
    settings: Settings | None = None


def check(environment: Mapping[str, str] | None = None, config_file: Path | None = None) -> Report:
    """Everything that can be said without connecting anywhere."""
    environment = os.environ if environment is None else environment
    report = Report()
    try:
        report.settings = load(environment, config_file)
    except InvalidSettingsError as error:
        report.problems.extend(error.problems)
        return report
    report.warnings.extend(misspelt(environment))
    _check_consistency(report.settings, report)
    _check_safety(report.settings, report)
    if report.settings.indexing_schedule:
        words = get_description(report.settings.indexing_schedule)
        report.schedules.append(f"INDEXING_SCHEDULE: {words[:1].lower()}{words[1:]} (UTC)")
    return report


def require_safe(settings: Settings) -> list[str]:
    """The warnings of `settings`. Raises SettingsError where the start must be refused."""
    report = Report(settings=settings)
    _check_consistency(settings, report)
    _check_safety(settings, report)
    if report.problems:
        raise SettingsError("; ".join(report.problems))
    return report.warnings


def shown(settings: Settings) -> dict[str, str]:
    """Every setting by environment name, secrets as `********`, passwords in URLs too."""
    values = {}
    for name in Settings.model_fields:
        value = getattr(settings, name)
        if value is None:
            text = ""
        elif is_secret(name):
            text = "********"
        elif name == "identity_providers":
            text = json.dumps([provider.model_dump(mode="json", exclude_defaults=True) for provider in value])
        elif isinstance(value, tuple):
            text = ",".join(value)
        else:
            text = _without_password(str(value))
        values[environment_name(name)] = text
    return values


def _without_password(text: str) -> str:
    if "://" not in text or "@" not in text:
        return text
    scheme, rest = text.split("://", 1)
    return f"{scheme}://********@{rest.rsplit('@', 1)[1]}"


def _check_consistency(settings: Settings, report: Report) -> None:
    if settings.llm_provider == "openai" and not (settings.llm_api_base and settings.llm_model):
        report.problems.append(
            "LLM_PROVIDER=openai needs LLM_API_BASE and LLM_MODEL, for example "
            "LLM_API_BASE=http://127.0.0.1:11434/v1 LLM_MODEL=qwen3:8b"
        )
    if settings.llm_embedding_provider == "openai" and not (settings.llm_api_base and settings.llm_embedding_model):
        report.problems.append("LLM_EMBEDDING_PROVIDER=openai needs LLM_API_BASE and LLM_EMBEDDING_MODEL")
    if settings.llm_api_base and urlsplit(settings.llm_api_base).scheme not in {"http", "https"}:
        report.problems.append(
            "LLM_API_BASE must start with http:// or https://, for example http://127.0.0.1:11434/v1"
        )
    for name in ("database_url", "database_owner_url"):
        url = getattr(settings, name)
        if url and urlsplit(url.get_secret_value()).scheme not in {"postgresql", "postgres"}:
            variable = environment_name(name)
            report.problems.append(f"{variable} must look like postgresql://user:password@host:5432/database")
    if settings.database_owner_url and not settings.database_url:
        report.problems.append("DATABASE_OWNER_URL is set without DATABASE_URL")
    _check_sign_on(settings, report)
    _check_receivers(settings, report)
    for proxy in settings.trusted_proxies:
        try:
            ip_network(proxy, strict=False)
        except ValueError:
            report.problems.append(f"OPAA_TRUSTED_PROXIES: {proxy} is no address or network, such as 10.0.0.0/8")
    try:
        EgressPolicy.of((), settings.egress_allow)
    except ValueError as error:
        report.problems.append(str(error))
    defaults = Settings()
    for name in Settings.model_fields:
        if not is_used(name) and getattr(settings, name) != getattr(defaults, name):
            report.warnings.append(f"{environment_name(name)} is set, but this version does not use it yet")


def _check_receivers(settings: Settings, report: Report) -> None:
    """Where the audit log is sent to."""
    syslog = urlsplit(settings.audit_syslog_url or "")
    try:
        port = syslog.port
    except ValueError:
        port = None
    if settings.audit_syslog_url and (
        syslog.scheme not in {"syslog+tls", "syslog+tcp"} or not syslog.hostname or not port
    ):
        report.problems.append("AUDIT_SYSLOG_URL must look like syslog+tls://siem.example.com:6514")
    if settings.audit_http_url and urlsplit(settings.audit_http_url).scheme not in {"http", "https"}:
        report.problems.append("AUDIT_HTTP_URL must look like https://siem.example.com/ingest")
    if settings.audit_syslog_ca_file and not settings.audit_syslog_ca_file.is_file():
        report.problems.append(f"AUDIT_SYSLOG_CA_FILE names {settings.audit_syslog_ca_file}, which is no file")
    plain = [address for address in (settings.audit_syslog_url, settings.audit_http_url) if address]
    if any(address.startswith(("syslog+tcp:", "http:")) for address in plain):
        report.warnings.append("The audit log is sent over a connection that is not encrypted")


def _check_sign_on(settings: Settings, report: Report) -> None:
    if bool(settings.oauth_provider) != bool(settings.oauth_client_id):
        report.warnings.append("OAUTH_PROVIDER and OAUTH_CLIENT_ID belong together; one of them is not set")
    try:
        providers = settings.sign_on
    except ValueError as error:
        reason = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
        report.problems.append(f"OPAA_IDENTITY_PROVIDERS, OAUTH_PROVIDER: {reason.removeprefix('Value error, ')}")
        return
    if providers and not settings.public_url:
        report.problems.append(
            "Identity providers send people back to OPAA_PUBLIC_URL, which is not set, for example "
            "https://opaa.example.com"
        )
    if settings.public_url:
        parts = urlsplit(settings.public_url)
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.path.strip("/") or parts.query:
            report.problems.append("OPAA_PUBLIC_URL must look like https://opaa.example.com, without a path")
    if settings.auth_type == "sso" and not providers:
        report.problems.append("OPAA_AUTH_TYPE=sso needs an identity provider (OPAA_IDENTITY_PROVIDERS)")


def _check_safety(settings: Settings, report: Report) -> None:
    found: list[str] = []
    secret = settings.secret_key.get_secret_value() if settings.secret_key else ""
    if secret and (len(secret) < 32 or secret.lower() in WEAK_SECRETS or len(set(secret)) < 8):
        found.append("SECRET_KEY is short or guessable; use 32 random characters or more (openssl rand -hex 32)")
    production = settings.environment == "production"
    if production and not secret:
        found.append("SECRET_KEY is not set (openssl rand -hex 32)")
    if not settings.enable_auth and not _is_loopback(settings.host):
        found.append(
            f"security.enable_auth is off while listening on {settings.host}; turn it on or listen on 127.0.0.1"
        )
    if "*" in settings.cors_origins:
        found.append("CORS_ORIGINS=* would let any page call the API; name the origins")
    addresses = [settings.public_url or ""] + [
        provider.issuer if isinstance(provider, OidcProvider) else provider.metadata_url or ""
        for provider in settings.identity_providers
    ]
    addresses.append(settings.oauth_provider or "")
    found.extend(
        f"{address} is not https: whoever is on the way can log in as anybody"
        for address in addresses
        if address.startswith("http://") and not _is_loopback(urlsplit(address).hostname or "")
    )
    if production and not settings.cookie_secure and not _is_loopback(settings.host):
        found.append("OPAA_COOKIE_SECURE is off; set it to true behind TLS")
    (report.problems if production else report.warnings).extend(found)


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
