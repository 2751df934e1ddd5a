"""Cookies and tokens: their form is exact, and nothing else is taken for one."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opaa.errors import SettingsError
from opaa.identity.credentials import (
    SecretKey,
    csrf_token,
    format_session,
    format_token,
    hash_secret,
    load_secret_key,
    matches,
    new_secret,
    parse_session,
    parse_token,
)
from opaa.settings import load


@given(st.uuids(), st.uuids())
def test_what_was_written_is_read_again(organization_id: UUID, row_id: UUID) -> None:
    secret = new_secret()
    for credential in (
        parse_session(format_session(organization_id, row_id, secret)),
        parse_token(format_token(organization_id, row_id, secret)),
    ):
        assert credential is not None
        assert (credential.organization_id, credential.row_id, credential.secret) == (organization_id, row_id, secret)


@given(st.text(max_size=120), st.integers(0, 97))
def test_anything_else_is_nothing(text: str, place: int) -> None:
    assert parse_session(text) is None or len(text) == 87
    assert parse_token(text) is None
    token = format_token(UUID(int=1), UUID(int=2), new_secret())
    changed = token[:place] + ("0" if token[place : place + 1] != "0" else "1") + token[place + 1 :]
    assert changed == token or parse_token(changed) is None
    assert parse_session("z" * 87) is None  # larger than any UUID


def test_each_use_of_the_key_is_a_key_of_its_own() -> None:
    key, other = SecretKey(b"a" * 32), SecretKey(b"b" * 32)
    stored = hash_secret(key, "token", "secret")
    assert matches(key, "token", "secret", stored)
    assert not matches(key, "session", "secret", stored)
    assert not matches(other, "token", "secret", stored)
    assert csrf_token(key, UUID(int=1)) != csrf_token(key, UUID(int=2))


def test_the_generated_key_is_made_once_and_readable_by_its_owner_alone(tmp_path) -> None:
    settings = load({"OPAA_DATA_DIR": str(tmp_path / "data")})
    assert load_secret_key(settings).derive("x") == load_secret_key(settings).derive("x")
    assert (tmp_path / "data" / "secret.key").stat().st_mode & 0o077 == 0
    (tmp_path / "file").touch()
    with pytest.raises(SettingsError, match="set SECRET_KEY"):
        load_secret_key(load({"OPAA_DATA_DIR": str(tmp_path / "file" / "data")}))
