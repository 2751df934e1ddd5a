"""A SAML 2.0 identity provider made with pysaml2: as a process with pages of its own, and as a maker of responses.

Usage: python -m tests.fakes.saml_idp CONFIG.json   (port, base, service provider's metadata, folder, accounts);
prints "ready" when it listens.
"""

import html
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID
from saml2 import BINDING_HTTP_REDIRECT
from saml2.config import IdPConfig
from saml2.metadata import entity_descriptor
from saml2.saml import NAME_FORMAT_BASIC, NAMEID_FORMAT_PERSISTENT, NameID
from saml2.server import Server
from saml2.xmldsig import DIGEST_SHA256, SIG_RSA_SHA256

REPOSITORY = Path(__file__).resolve().parents[2]


def make_certificate(folder: Path, name: str = "idp") -> tuple[Path, Path]:
    """A key and a self-signed certificate for signatures."""
    key_file, certificate_file = folder / f"{name}.key", folder / f"{name}.crt"
    if not key_file.exists():
        key = rsa.generate_private_key(65537, 2048)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        now = datetime.now(UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=30))
            .sign(key, hashes.SHA256())
        )
        pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
        key_file.write_bytes(key.private_bytes(pem, serialization.PrivateFormat.TraditionalOpenSSL, plain))
        certificate_file.write_bytes(certificate.public_bytes(pem))
    return key_file, certificate_file


class SamlIdp:
    """Makes metadata and responses; `base` is the address of its pages, `sp_metadata` the service provider's."""

    def __init__(self, base: str, folder: Path, sp_metadata: str | None, key: str = "idp") -> None:
        self.base = base
        key_file, certificate_file = make_certificate(folder, key)
        settings = {
            "entityid": f"{base}/metadata",
            "service": {
                "idp": {
                    "endpoints": {"single_sign_on_service": [(f"{base}/sso", BINDING_HTTP_REDIRECT)]},
                    "policy": {"default": {"lifetime": {"minutes": 5}, "name_form": NAME_FORMAT_BASIC}},
                    "name_id_format": [NAMEID_FORMAT_PERSISTENT],
                }
            },
            "key_file": str(key_file),
            "cert_file": str(certificate_file),
            "metadata": {"inline": [sp_metadata]} if sp_metadata else {},
        }
        self.config = IdPConfig().load(settings)
        self.server = Server(config=self.config) if sp_metadata else None

    def metadata(self) -> str:
        return str(entity_descriptor(self.config))

    def response(
        self,
        attributes: dict[str, Any],
        *,
        request: str,
        acs: str,
        audience: str,
        subject: str = "subject-1",
        name_format: str = NAMEID_FORMAT_PERSISTENT,
        **changes: Any,
    ) -> str:
        """A response as XML, signed as asked: by default the response and the assertion both."""
        assert self.server is not None
        options: dict[str, Any] = {
            "sign_response": True,
            "sign_assertion": True,
            "sign_alg": SIG_RSA_SHA256,
            "digest_alg": DIGEST_SHA256,
            "authn": {"class_ref": "urn:oasis:names:tc:SAML:2.0:ac:classes:Password", "authn_auth": self.base},
            "name_id": NameID(format=name_format, text=subject),
            **changes,
        }
        return str(self.server.create_authn_response(attributes, request, acs, audience, **options))


def answer_page(acs: str, response: str, relay_state: str) -> str:
    import base64

    encoded = base64.b64encode(response.encode()).decode()
    return (
        f'<form method="post" action="{html.escape(acs)}">'
        f'<input type="hidden" name="SAMLResponse" value="{encoded}">'
        f'<input type="hidden" name="RelayState" value="{html.escape(relay_state)}">'
        "<button>Continue</button></form><script>document.forms[0].submit()</script>"
    )


def serve(config: dict[str, Any]) -> None:
    idp = SamlIdp(config["base"], Path(config["folder"]), config["sp_metadata"])

    class Pages(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            return

        def page(self, text: str) -> None:
            body = f"<!doctype html><title>Example IdP</title>{text}".encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_GET(self) -> None:
            query = parse_qs(urlsplit(self.path).query)
            fields = "".join(
                f'<input type="hidden" name="{name}" value="{html.escape(query[name][0])}">'
                for name in ("SAMLRequest", "RelayState")
            )
            self.page(f'<form method="post" action="/login">{fields}<input name="login"><button>Log in</button></form>')

        def do_POST(self) -> None:
            form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
            assert idp.server is not None
            request = idp.server.parse_authn_request(form["SAMLRequest"][0], BINDING_HTTP_REDIRECT).message
            account = config["accounts"][form["login"][0]]
            response = idp.response(
                account,
                request=request.id,
                acs=request.assertion_consumer_service_url,
                audience=request.issuer.text,
                subject=f"subject of {form['login'][0]}",
            )
            self.page(answer_page(request.assertion_consumer_service_url, response, form["RelayState"][0]))

    server = ThreadingHTTPServer((urlsplit(config["base"]).hostname or "", config["port"]), Pages)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    server.serve_forever()


@contextmanager
def running(base: str, folder: Path, sp_metadata: str, accounts: dict[str, Any]) -> Iterator[None]:
    """The provider as a process, for the length of the block."""
    config = folder / "idp.json"
    settings = {"base": base, "port": urlsplit(base).port, "folder": str(folder)}
    config.write_text(json.dumps({**settings, "sp_metadata": sp_metadata, "accounts": accounts}))
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.fakes.saml_idp", config], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == "ready"
        yield
    finally:
        process.terminate()
        process.wait(10)


if __name__ == "__main__":
    serve(json.loads(Path(sys.argv[1]).read_text()))
