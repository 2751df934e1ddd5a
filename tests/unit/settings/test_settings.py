"""Settings from the environment and YAML: every public name, every problem at once, no secret shown."""

from pathlib import Path

import pytest
import yaml

from opaa.errors import SettingsError
from opaa.settings import InvalidSettingsError, Settings, load
from opaa.settings.check import check, require_safe, shown
from opaa.settings.model import environment_name, is_secret
from opaa.settings.reference import reference

CFG_1 = {
    "DATABASE_URL": "postgresql://u:hunter2hunter2@h/d",
    "REDIS_URL": "redis://h/0",
    "LLM_PROVIDER": "none",
    "LLM_API_KEY": "sk-hunter2hunter2",
    "LLM_API_BASE": "http://127.0.0.1:1/v1",
    "LLM_MODEL": "m",
    "LLM_EMBEDDING_MODEL": "/models/e",
    "VECTOR_DB": "pgvector",
    "ELASTICSEARCH_HOST": "h",
    "INDEXING_SCHEDULE": "*/6 * * * *",
    "CONFLUENCE_URL": "http://c",
    "CONFLUENCE_TOKEN": "hunter2hunter2",
    "EMAIL_IMAP_HOST": "h",
    "EMAIL_IMAP_PASSWORD": "hunter2hunter2",
    "SECRET_KEY": "hunter2hunter2-0123456789abcdef0123456789",
    "OAUTH_CLIENT_ID": "i",
    "OAUTH_CLIENT_SECRET": "hunter2hunter2",
    "CORS_ORIGINS": "http://a, http://b",
    "ENABLE_API": "true",
    "ENABLE_WEB_UI": "false",
    "ENABLE_CHAT_INTEGRATIONS": "false",
    "MAX_CONCURRENT_INDEXING_JOBS": "3",
    "LOG_LEVEL": "DEBUG",
}
CFG_2 = """
llm:
  provider: openai
  api_key: ${KEY}
  api_base: ${BASE:-http://127.0.0.1:2/v1}
  models: {qa_generation: big, summarization: small, embeddings: /models/e}
  temperature: 0.7
vector_db: {type: pgvector, hosts: null, index_prefix: opaa}
data_sources:
  confluence: {enabled: false, schedule: "0 * * * *"}
  email: {enabled: false}
  file_system: {enabled: true, schedule: "0 * * * *"}
security: {enable_auth: true, auth_type: local, oauth_provider: null, api_key_enabled: false}
performance: {max_concurrent_indexing: 5, embedding_batch_size: 16, vector_search_top_k: 50}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "opaa.yaml"
    path.write_text(CFG_2)
    return path


@pytest.mark.req("CFG-1")
def test_every_public_variable_is_accepted() -> None:
    settings = load(CFG_1)
    assert settings.cors_origins == ("http://a", "http://b")
    assert (settings.enable_web_ui, settings.max_concurrent_indexing_jobs) == (False, 3)
    assert set(CFG_1) <= {environment_name(name) for name in Settings.model_fields}
    report = check(CFG_1)
    assert report.problems == []
    assert report.schedules == ["INDEXING_SCHEDULE: every 6 minutes (UTC)"]


@pytest.mark.req("CFG-2")
def test_the_yaml_file_is_read_and_the_environment_wins(file: Path) -> None:
    settings = load({"KEY": "k", "OPAA_CONFIG": str(file), "LLM_MODEL": "mine"})
    assert settings.llm_api_key is not None
    assert settings.llm_api_key.get_secret_value() == "k"
    assert settings.llm_api_base == "http://127.0.0.1:2/v1"
    assert (settings.llm_model, settings.llm_summarization_model) == ("mine", "small")
    assert (settings.llm_temperature, settings.max_concurrent_indexing_jobs) == (0.7, 5)
    assert (settings.embedding_batch_size, settings.vector_search_top_k) == (16, 50)
    assert settings.api_key_enabled is False
    assert load({"KEY": "k", "BASE": "http://127.0.0.1:3/v1"}, file).llm_api_base == "http://127.0.0.1:3/v1"


@pytest.mark.req("CFG-2", "CFG-4")
def test_all_problems_are_reported_at_once_with_the_nearest_names(tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text("llm: {temprature: 3, api_key: '${NOT_SET}'}\nnonsense: {}\nserver: {port: 99999}\n")
    with pytest.raises(InvalidSettingsError) as caught:
        load({"OPAA_PROT": "1", "LOG_LEVEL": "LOUD", "INDEXING_SCHEDULE": "often"}, path)
    problems = "\n".join(caught.value.problems)
    assert "did you mean llm.temperature?" in problems
    assert "uses ${NOT_SET}, which is not set" in problems
    assert "OPAA_PROT is not a setting" in problems
    assert "LOG_LEVEL: " in problems
    assert "INDEXING_SCHEDULE: must be five cron fields" in problems
    assert f"server.port in {path}: " in problems
    assert len(caught.value.problems) >= 6


def test_names_that_look_like_settings_are_pointed_out() -> None:
    assert any("did you mean LLM_MODEL?" in warning for warning in check({"LLM_MODELS": "x"}).warnings)


@pytest.mark.parametrize(
    "content",
    ["- a list", "a: [", "just text", "\x00", b"\xff\xfe\xff"],
    ids=["list", "broken", "text", "nul", "bytes"],
)
def test_a_file_that_is_no_configuration_is_one_problem(tmp_path: Path, content: str | bytes) -> None:
    path = tmp_path / "c.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InvalidSettingsError) as caught:
        load({}, path)
    assert len(caught.value.problems) == 1
    assert str(path) in caught.value.problems[0]
    assert "\n" not in caught.value.problems[0]
    with pytest.raises(InvalidSettingsError, match="cannot be read"):
        load({}, tmp_path / "missing.yaml")


@pytest.mark.req("CFG-3")
def test_secrets_come_from_files(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text("from-a-file\n")
    settings = load({"LLM_API_KEY_FILE": str(path)})
    assert settings.llm_api_key is not None
    assert settings.llm_api_key.get_secret_value() == "from-a-file"
    with pytest.raises(InvalidSettingsError, match="both set; keep one"):
        load({"LLM_API_KEY_FILE": str(path), "LLM_API_KEY": "x"})
    with pytest.raises(InvalidSettingsError, match="cannot be read"):
        load({"LLM_API_KEY_FILE": str(tmp_path / "missing")})


@pytest.mark.req("CFG-3")
def test_secrets_are_never_shown() -> None:
    settings = load(CFG_1)
    bad = {**CFG_1, "LOG_LEVEL": "hunter", "PORT": "x"}
    with pytest.raises(InvalidSettingsError) as caught:
        load(bad)
    for text in (repr(settings), str(settings), str(shown(settings)), settings.model_dump_json(), str(caught.value)):
        assert "hunter2" not in text
    masked = shown(load({**CFG_1, "REDIS_URL": "redis://me:hunter2@h/0"}))
    assert "hunter2" not in str(masked)
    assert masked["SECRET_KEY"] == "********"


@pytest.mark.req("CFG-4")
@pytest.mark.parametrize("secret", [None, "xyzzy-1", "changeme", "a" * 40])
def test_production_refuses_a_missing_or_weak_secret_key_and_development_warns(secret: str | None) -> None:
    environment = {"SECRET_KEY": secret} if secret else {}
    production = {**environment, "OPAA_ENV": "production"}
    with pytest.raises(SettingsError, match="SECRET_KEY") as caught:
        require_safe(load(production))
    if secret:
        assert secret not in str(caught.value)
        assert any("SECRET_KEY" in warning for warning in require_safe(load(environment)))


@pytest.mark.req("CFG-4")
@pytest.mark.parametrize(
    ("unsafe", "names"),
    [
        ({"OPAA_HOST": "::"}, "OPAA_COOKIE_SECURE"),
        ({"CORS_ORIGINS": "*"}, "CORS_ORIGINS"),
    ],
)
def test_production_refuses_what_is_unsafe(unsafe: dict[str, str], names: str) -> None:
    good = {"OPAA_ENV": "production", "SECRET_KEY": "0123456789abcdefghijklmnopqrstuvwxyz"}
    assert require_safe(load(good)) == []
    with pytest.raises(SettingsError, match=names):
        require_safe(load({**good, **unsafe}))


def test_a_model_needs_an_endpoint() -> None:
    assert "LLM_API_BASE" in check({"LLM_PROVIDER": "openai"}).problems[0]
    assert "postgresql://" in check({"DATABASE_URL": "mysql://h/d"}).problems[0]


@pytest.mark.req("CFG-5")
def test_the_reference_page_is_up_to_date() -> None:
    page = Path(__file__).parents[3] / "docs" / "settings.md"
    assert page.read_text() == reference(), "run: opaa config reference > docs/settings.md"
    for name in Settings.model_fields:
        assert f"`{environment_name(name)}`" in reference()


def test_fields_that_sound_like_secrets_are_secrets() -> None:
    for name in Settings.model_fields:
        if any(part in name for part in ("password", "secret", "token")) and not name.endswith(("_tokens", "_name")):
            assert is_secret(name) or name.startswith(("llm_max", "rate_limit")), name


def test_yaml_types_are_kept() -> None:
    assert yaml.safe_load(CFG_2)["llm"]["temperature"] == 0.7
