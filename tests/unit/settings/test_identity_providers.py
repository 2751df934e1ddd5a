"""Identity providers in the configuration: the example of the page works, and mistakes are told."""

import json
from pathlib import Path
from typing import Any

import pytest

from opaa.settings.check import check, shown
from opaa.settings.load import load

PAGE = Path(__file__).parents[3] / "docs" / "single-sign-on.md"
OIDC = {"kind": "oidc", "name": "corp", "issuer": "https://login.example.com", "client_id": "opaa"}
SAML = {"kind": "saml", "name": "saml", "metadata_url": "https://idp.example.com/metadata"}


def environment(*providers: Any, **more: str) -> dict[str, str]:
    return {"OPAA_PUBLIC_URL": "https://opaa.example.com", "OPAA_IDENTITY_PROVIDERS": json.dumps(providers), **more}


@pytest.mark.req("SEC-1", "SEC-2")
def test_the_example_of_the_page(tmp_path: Path) -> None:
    text = PAGE.read_text().split("```yaml")[1].split("```")[0]
    (tmp_path / "secret").write_text("hunter2hunter2\n")
    (tmp_path / "opaa.yaml").write_text(text.replace("/run/secrets/oidc", str(tmp_path / "secret")))
    report = check({}, tmp_path / "opaa.yaml")
    assert report.problems == []
    assert report.settings is not None
    staff, partner = report.settings.sign_on
    assert (staff.kind, staff.mapping["engineering"].workspaces) == ("oidc", {"Handbook": "editor"})
    assert staff.kind == "oidc" and staff.client_secret is not None
    assert staff.client_secret.get_secret_value() == "hunter2hunter2"
    assert (partner.title, partner.email_claim) == ("partner", "mail")
    assert "hunter2" not in json.dumps(shown(report.settings)) + repr(report.settings)


@pytest.mark.req("SEC-1")
def test_the_short_settings_make_a_provider() -> None:
    settings = load(
        {"OAUTH_PROVIDER": "https://login.example.com/realm", "OAUTH_CLIENT_ID": "x", "OAUTH_CLIENT_SECRET": "s"}
    )
    [provider] = settings.sign_on
    assert (provider.name, provider.title) == ("oidc", "login.example.com")
    assert settings.outside_addresses == ["https://login.example.com/realm"]


@pytest.mark.req("SEC-1", "CFG-4")
@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({"OPAA_IDENTITY_PROVIDERS": "{"}, "must be a JSON list of providers"),
        (environment({**OIDC, "kind": "ldap"}), "OPAA_IDENTITY_PROVIDERS: 0"),
        (environment({**OIDC, "nmae": "x"}), "nmae"),
        (environment({**OIDC, "name": "Not A Name"}), "name"),
        (environment({**OIDC, "issuer": "login.example.com"}), "issuer must look like"),
        (environment({**OIDC, "scopes": ["email"]}), "scopes must hold openid"),
        (environment({**OIDC, "mapping": {"x": {"role": "owner"}}}), "role"),
        (environment({**OIDC, "mapping": {"x": {"workspaces": {"W": "owner"}}}}), "workspaces"),
        (environment({**OIDC, "client_secret_file": "/nowhere"}), "/nowhere, which cannot be read"),
        (environment({**SAML, "metadata_file": "/x"}), "either metadata_file or metadata_url"),
        (environment(OIDC, {**SAML, "name": "corp"}), "two identity providers are named corp"),
        (environment(OIDC, OPAA_PUBLIC_URL=""), "OPAA_PUBLIC_URL, which is not set"),
        (environment(OIDC, OPAA_PUBLIC_URL="https://x.example/path"), "without a path"),
        ({"OPAA_AUTH_TYPE": "sso"}, "needs an identity provider"),
        (environment({**OIDC, "issuer": "http://login.example.com"}, OPAA_ENV="production"), "is not https"),
        ({"OPAA_EGRESS_ALLOW": "a b"}, "no host, host:port or network"),
        ({"OPAA_TRUSTED_PROXIES": "proxy"}, "no address or network"),
        ({"OPAA_RATE_LIMIT_USER": "many"}, "must read like 600/minute, or off"),
        ({"AUDIT_SYSLOG_URL": "udp://siem:514"}, "AUDIT_SYSLOG_URL must look like"),
        ({"AUDIT_SYSLOG_URL": "syslog+tls://siem"}, "AUDIT_SYSLOG_URL must look like"),
        ({"AUDIT_HTTP_URL": "siem.example.com"}, "AUDIT_HTTP_URL must look like"),
    ],
)
def test_mistakes_are_told(variables: dict[str, str], sentence: str) -> None:
    problems = check(variables).problems
    assert any(sentence in problem for problem in problems), problems
    assert "hunter2" not in str(problems)
