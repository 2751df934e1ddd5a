"""Every setting of OPAA: its name in the environment and in the YAML file, its type, default and meaning.

The environment variable of a field is its upper-case name unless `env` says otherwise; `yaml` is its dotted path in the
configuration file. The names of requirement CFG-1 and the sections of CFG-2 are public interface.
"""

import os
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import limits
from croniter import croniter
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr

from opaa.settings.identity_providers import IdentityProviders, OidcProvider, SamlProvider, combined

MEBIBYTE = 1024 * 1024


def setting(
    default: Any,  # noqa: ANN401 - the type is the annotated field's
    meaning: str,
    *,
    env: str | None = None,
    yaml: str | None = None,
    example: str | None = None,
    used: bool = True,
    **constraints: Any,  # noqa: ANN401 - passed to pydantic
) -> Any:  # noqa: ANN401
    """A field with its meaning for operators; `used=False` marks a public name that this version only accepts."""
    extra: dict[str, Any] = {"env": env, "yaml": yaml, "example": example, "used": used}
    if callable(default):
        return Field(default_factory=default, description=meaning, json_schema_extra=extra, **constraints)
    return Field(default, description=meaning, json_schema_extra=extra, **constraints)


def default_data_dir() -> Path:
    """`/var/lib/opaa` for root, else `$XDG_DATA_HOME/opaa` (XDG Base Directory Specification)."""
    if os.geteuid() == 0:
        return Path("/var/lib/opaa")
    base = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    return Path(base) / "opaa"


def default_models_dir() -> Path:
    return Path(sys.prefix) / "share" / "opaa" / "models"


def absolute(path: Path) -> Path:
    return path.expanduser().absolute()


def cron(expression: str) -> str:
    if not croniter.is_valid(expression):
        raise ValueError("must be five cron fields")
    return expression


def rate(text: str) -> str:
    if text == "off":
        return text
    try:
        limits.parse(text)
    except ValueError:
        raise ValueError("must read like 600/minute, or off") from None
    return text


RateLimit = Annotated[str, AfterValidator(rate)]
AbsolutePath = Annotated[Path, AfterValidator(absolute)]
CronExpression = Annotated[str, AfterValidator(cron)]


class Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    environment: Literal["development", "production"] = setting(
        "development",
        "`production` refuses unsafe settings instead of warning.",
        env="OPAA_ENV",
        yaml="environment",
    )
    data_dir: AbsolutePath = setting(
        default_data_dir,
        "Folder for the embedded database, uploads and logs.",
        env="OPAA_DATA_DIR",
        yaml="data_dir",
        example="/var/lib/opaa",
    )
    models_dir: AbsolutePath = setting(
        default_models_dir,
        "Folder for the bundled embedding model, built there once.",
        env="OPAA_MODELS_DIR",
        yaml="models_dir",
    )
    host: str = setting("127.0.0.1", "Address to listen on.", env="OPAA_HOST", yaml="server.host", example="::")
    port: int = setting(8080, "Port to listen on.", env="PORT", yaml="server.port", ge=1, le=65535)
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = setting(
        "INFO", "Least severity logged.", yaml="log_level"
    )
    log_format: Literal["json", "text"] = setting(
        "json", "JSON lines for machines or text for people.", env="OPAA_LOG_FORMAT", yaml="log_format"
    )

    database_url: SecretStr | None = setting(
        None,
        "PostgreSQL ≥ 16 with pgvector ≥ 0.8. Unset: the embedded PostgreSQL in the data folder.",
        yaml="database.url",
        example="postgresql://opaa_app:secret@db:5432/opaa",
    )
    database_owner_url: SecretStr | None = setting(
        None,
        "The role that owns the tables and runs migrations. Unset: DATABASE_URL's role is the owner, and the "
        "application steps down to the role opaa_app on every connection.",
        yaml="database.owner_url",
        example="postgresql://opaa_owner:secret@db:5432/opaa",
    )
    database_pool_size: int = setting(
        16,
        "Most connections that one process keeps.",
        env="OPAA_DATABASE_POOL_SIZE",
        yaml="database.pool_size",
        ge=2,
    )
    redis_url: SecretStr | None = setting(None, "Redis for limits that all processes share.", yaml="redis.url")

    llm_provider: Literal["none", "openai"] = setting(
        "none",
        "`none` answers with sentences of the documents; `openai` is any endpoint that speaks the OpenAI protocol.",
        yaml="llm.provider",
    )
    llm_api_key: SecretStr | None = setting(None, "Key for the endpoint, if it wants one.", yaml="llm.api_key")
    llm_api_base: str | None = setting(
        None, "Base URL of the endpoint.", yaml="llm.api_base", example="http://127.0.0.1:11434/v1"
    )
    llm_model: str | None = setting(
        None, "Model that writes answers.", yaml="llm.models.qa_generation", example="qwen3:8b"
    )
    llm_summarization_model: str | None = setting(
        None, "Model that rewrites follow-up questions. Unset: LLM_MODEL.", yaml="llm.models.summarization"
    )
    llm_temperature: float = setting(0.1, "Randomness of answers, 0 to 2.", yaml="llm.temperature", ge=0, le=2)
    llm_max_tokens: int = setting(1024, "Most tokens in one answer.", yaml="llm.max_tokens", ge=1)
    llm_timeout_s: float = setting(60.0, "Deadline of one call, in seconds.", yaml="llm.timeout_s", gt=0)
    llm_embedding_provider: Literal["local", "openai"] = setting(
        "local",
        "`local` runs a model in this process; `openai` calls the endpoint.",
        yaml="llm.embedding_provider",
    )
    llm_embedding_model: str | None = setting(
        None,
        "Endpoint: the model's name. Local: a folder with model.onnx and tokenizer.json; unset is the bundled "
        "multilingual-e5-small.",
        yaml="llm.models.embeddings",
    )
    llm_embedding_dimension: int | None = setting(
        None,
        "Length of the endpoint's vectors; unset asks it once.",
        yaml="llm.embedding_dimension",
        ge=8,
        le=4000,
    )
    embedder_threads: int = setting(
        lambda: min(os.cpu_count() or 1, 4),
        "Threads of the local embedder.",
        env="OPAA_EMBEDDER_THREADS",
        yaml="performance.embedder_threads",
        ge=1,
    )

    vector_db: Literal["pgvector"] = setting("pgvector", "Where vectors are searched.", yaml="vector_db.type")
    elasticsearch_host: str | None = setting(None, "Elasticsearch.", yaml="vector_db.hosts", used=False)
    vector_index_prefix: str | None = setting(None, "Prefix of index names.", yaml="vector_db.index_prefix", used=False)

    indexing_schedule: CronExpression | None = setting(
        None,
        "When every source is synchronised, as cron in UTC. Unset: only by hand.",
        yaml="data_sources.schedule",
        example="*/30 * * * *",
    )
    max_concurrent_indexing_jobs: int = setting(
        1,
        "Sources that one worker synchronises at once.",
        yaml="performance.max_concurrent_indexing",
        ge=1,
        le=64,
    )
    embedding_batch_size: int = setting(
        32, "Chunks per call to the embedder.", yaml="performance.embedding_batch_size", ge=1, le=2048
    )
    vector_search_top_k: int = setting(
        100,
        "Candidates from each side before fusion.",
        yaml="performance.vector_search_top_k",
        ge=10,
        le=1000,
    )
    lexical_weight: float = setting(
        0.5, "Share of the lexical score in the fused score.", yaml="performance.lexical_weight", ge=0, le=1
    )
    chunk_max_chars: int = setting(
        1200,
        "Longest chunk, in characters.",
        env="OPAA_CHUNK_MAX_CHARS",
        yaml="performance.chunk_max_chars",
        ge=200,
    )
    max_document_bytes: int = setting(
        50 * MEBIBYTE, "Larger files are reported and skipped.", yaml="performance.max_document_bytes", ge=1
    )
    extraction_timeout_s: float = setting(
        60.0, "Time to read one document.", yaml="performance.extraction_timeout_s", gt=0
    )
    extraction_memory_bytes: int = setting(
        1024 * MEBIBYTE,
        "Memory to read one document.",
        yaml="performance.extraction_memory_bytes",
        ge=128 * MEBIBYTE,
    )

    confluence_url: str | None = setting(None, "Confluence.", yaml="data_sources.confluence.url", used=False)
    confluence_token: SecretStr | None = setting(None, "Confluence.", yaml="data_sources.confluence.token", used=False)
    email_imap_host: str | None = setting(None, "E-mail.", yaml="data_sources.email.host", used=False)
    email_imap_password: SecretStr | None = setting(None, "E-mail.", yaml="data_sources.email.password", used=False)

    secret_key: SecretStr | None = setting(
        None,
        "At least 32 random characters; keys for cookies and tokens derive from it. Unset: generated once into the "
        "data folder (development), refused (production).",
        yaml="security.secret_key",
    )
    enable_auth: bool = setting(True, "Whether people must log in.", yaml="security.enable_auth")
    auth_type: Literal["local", "sso"] = setting(
        "local",
        "`local`: with a password, or at a configured identity provider; `sso`: only at identity providers.",
        env="OPAA_AUTH_TYPE",
        yaml="security.auth_type",
    )
    public_url: str | None = setting(
        None,
        "Address at which people reach OPAA, without a path; identity providers send them back there.",
        env="OPAA_PUBLIC_URL",
        yaml="server.public_url",
        example="https://opaa.example.com",
    )
    oauth_provider: str | None = setting(
        None,
        "Issuer of one OpenID Connect provider, with OAUTH_CLIENT_ID and OAUTH_CLIENT_SECRET; more providers and their "
        "options are in OPAA_IDENTITY_PROVIDERS.",
        yaml="security.oauth_provider",
        example="https://login.example.com/realms/staff",
    )
    oauth_client_id: str | None = setting(None, "Client id at OAUTH_PROVIDER.", yaml="security.oauth_client_id")
    oauth_client_secret: SecretStr | None = setting(
        None, "Client secret at OAUTH_PROVIDER, if it gave one.", yaml="security.oauth_client_secret"
    )
    identity_providers: IdentityProviders = setting(
        (),
        "OpenID Connect and SAML providers, as a JSON list (docs/single-sign-on.md).",
        env="OPAA_IDENTITY_PROVIDERS",
        yaml="security.identity_providers",
        example='[{"kind":"oidc","name":"staff","issuer":"https://login.example.com","client_id":"opaa"}]',
    )
    api_key_enabled: bool = setting(True, "Whether API tokens are accepted.", yaml="security.api_key_enabled")
    cookie_secure: bool = setting(
        False, "Cookies only over TLS.", env="OPAA_COOKIE_SECURE", yaml="security.cookie_secure"
    )
    session_lifetime_s: int = setting(
        7 * 24 * 3600,
        "A log-in ends after this time.",
        env="OPAA_SESSION_LIFETIME_S",
        yaml="security.session_lifetime_s",
        ge=60,
    )
    audit_syslog_url: str | None = setting(
        None,
        "Receiver of the audit log: `syslog+tls://host:port` or `syslog+tcp://host:port`.",
        yaml="audit.syslog_url",
        example="syslog+tls://siem.example.com:6514",
    )
    audit_syslog_ca_file: AbsolutePath | None = setting(
        None, "Certificates that AUDIT_SYSLOG_URL's is checked with; unset: the system's.", yaml="audit.syslog_ca_file"
    )
    audit_http_url: str | None = setting(
        None,
        "Receiver of the audit log by HTTP: JSON Lines are posted there.",
        yaml="audit.http_url",
        example="https://siem.example.com/ingest",
    )
    audit_http_token: SecretStr | None = setting(
        None, "Bearer token for AUDIT_HTTP_URL, if it wants one.", yaml="audit.http_token"
    )
    egress_allow: tuple[str, ...] = setting(
        (),
        "Hosts (`host` or `host:port`) and networks, separated by commas, to which requests may go besides the hosts "
        "that other settings name (docs/network.md).",
        env="OPAA_EGRESS_ALLOW",
        yaml="security.egress_allow",
        example="login.example.com,10.20.0.0/16",
    )
    rate_limit_user: RateLimit = setting(
        "1200/minute",
        "Requests of one person, such as `600/minute`; `off` for no limit.",
        env="OPAA_RATE_LIMIT_USER",
        yaml="limits.rate.user",
    )
    rate_limit_token: RateLimit = setting(
        "1200/minute", "Requests with one API token.", env="OPAA_RATE_LIMIT_TOKEN", yaml="limits.rate.token"
    )
    rate_limit_address: RateLimit = setting(
        "6000/minute",
        "Requests from one address, which many people may share.",
        env="OPAA_RATE_LIMIT_ADDRESS",
        yaml="limits.rate.address",
    )
    rate_limit_login: RateLimit = setting(
        "120/minute",
        "Attempts to log in from one address; locks after wrong passwords come on top.",
        env="OPAA_RATE_LIMIT_LOGIN",
        yaml="limits.rate.login",
    )
    trusted_proxies: tuple[str, ...] = setting(
        (),
        "Addresses and networks, separated by commas, of the proxies whose X-Forwarded-For is believed.",
        env="OPAA_TRUSTED_PROXIES",
        yaml="server.trusted_proxies",
        example="10.0.0.0/8",
    )
    allowed_hosts: tuple[str, ...] = setting(
        (),
        "Names, separated by commas, under which the API and the UI answer. Unset: under any.",
        env="OPAA_ALLOWED_HOSTS",
        yaml="server.allowed_hosts",
        example="opaa.example.com",
    )
    cors_origins: tuple[str, ...] = setting(
        (), "Origins, separated by commas, whose pages may call the API.", yaml="security.cors_origins"
    )

    enable_api: bool = setting(True, "Serve the REST API.", yaml="features.api")
    enable_web_ui: bool = setting(True, "Serve the web UI.", yaml="features.web_ui")
    enable_chat_integrations: bool = setting(False, "Serve chat bots.", yaml="features.chat_integrations", used=False)
    max_question_chars: int = setting(
        10_000, "Longest question.", env="OPAA_MAX_QUESTION_CHARS", yaml="limits.max_question_chars", ge=100
    )
    max_upload_bytes: int = setting(
        50 * MEBIBYTE, "Largest upload.", env="OPAA_MAX_UPLOAD_BYTES", yaml="limits.max_upload_bytes", ge=1
    )
    answer_passages: int = setting(
        8,
        "Passages given to the model for one answer.",
        env="OPAA_ANSWER_PASSAGES",
        yaml="llm.answer_passages",
        ge=1,
        le=50,
    )

    @property
    def outside_addresses(self) -> list[str]:
        """Every address of another machine that a setting names and to which requests go."""
        found = [self.llm_api_base, self.audit_http_url, self.audit_syslog_url]
        for provider in self.sign_on:
            found.append(provider.issuer if isinstance(provider, OidcProvider) else provider.metadata_url)
        return [address for address in found if address]

    @property
    def sign_on(self) -> tuple[OidcProvider | SamlProvider, ...]:
        """Every identity provider. Raises ValueError when two have one name (`check` reports it)."""
        return combined(self.identity_providers, self.oauth_provider, self.oauth_client_id, self.oauth_client_secret)


def environment_name(field: str) -> str:
    """The environment variable of a field."""
    extra = Settings.model_fields[field].json_schema_extra
    name = extra.get("env") if isinstance(extra, dict) else None
    return str(name) if name else field.upper()


def yaml_path(field: str) -> str | None:
    """The dotted path of a field in the YAML file, if it has one."""
    extra = Settings.model_fields[field].json_schema_extra
    path = extra.get("yaml") if isinstance(extra, dict) else None
    return str(path) if path else None


def is_used(field: str) -> bool:
    extra = Settings.model_fields[field].json_schema_extra
    return bool(extra.get("used", True)) if isinstance(extra, dict) else True


def example(field: str) -> str | None:
    extra = Settings.model_fields[field].json_schema_extra
    value = extra.get("example") if isinstance(extra, dict) else None
    return str(value) if value else None


def is_secret(field: str) -> bool:
    return "SecretStr" in str(Settings.model_fields[field].annotation)
