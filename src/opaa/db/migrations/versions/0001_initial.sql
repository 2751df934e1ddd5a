-- Row-level security is forced on every table that holds a tenant's data. The application's role (opaa_app) owns
-- nothing. Settings are read in sub-selects, so once per query.

CREATE FUNCTION opaa_organization_id() RETURNS uuid LANGUAGE sql STABLE PARALLEL SAFE
  RETURN nullif(current_setting('opaa.organization_id', true), '')::uuid;

CREATE FUNCTION opaa_principals() RETURNS text[] LANGUAGE sql STABLE PARALLEL SAFE
  RETURN coalesce(nullif(current_setting('opaa.principals', true), ''), '{}')::text[];

-- The ACLs that the context may read; set with the context, so that a row is checked by one look into a hash table
-- however many groups a person is in.
CREATE FUNCTION opaa_acl_ids() RETURNS integer[] LANGUAGE sql STABLE PARALLEL SAFE
  RETURN coalesce(nullif(current_setting('opaa.acl_ids', true), ''), '{}')::integer[];

-- ── tenants and people ──────────────────────────────────────────────────────────────────────────────────────────

CREATE TABLE organizations (
  id uuid PRIMARY KEY,
  slug text NOT NULL UNIQUE CHECK (slug ~ '^[a-z0-9][a-z0-9-]{0,62}$'),
  name text NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
  -- Whether the audit log keeps the text of questions.
  audit_questions boolean NOT NULL DEFAULT false,
  created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE workspaces (
  id uuid PRIMARY KEY,
  organization_id uuid NOT NULL REFERENCES organizations ON DELETE CASCADE,
  name text NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
  created_at timestamptz NOT NULL DEFAULT now(),
  UNIQUE (organization_id, id)
);
CREATE UNIQUE INDEX workspaces_name_key ON workspaces (organization_id, lower(name));

CREATE TABLE users (
  id uuid PRIMARY KEY,
  organization_id uuid NOT NULL REFERENCES organizations ON DELETE CASCADE,
  kind text NOT NULL DEFAULT 'person' CHECK (kind IN ('person', 'service')),
  login text NOT NULL CHECK (length(login) BETWEEN 1 AND 320),
  -- What look-alikes of the login have in common with it (Unicode TS 39, skeleton), so that they cannot both exist.
  login_key text NOT NULL CHECK (length(login_key) BETWEEN 1 AND 2000),
  display_name text NOT NULL DEFAULT '' CHECK (length(display_name) <= 200),
  email text CHECK (length(email) <= 320),
  email_verified boolean NOT NULL DEFAULT false,
  -- What the directory that provisions the account (SCIM) calls it.
  external_id text CHECK (length(external_id) <= 400),
  provisioned_by text CHECK (length(provisioned_by) <= 200),
  role text NOT NULL DEFAULT 'member' CHECK (role IN ('owner', 'admin', 'auditor', 'member')),
  password_hash text,
  must_change_password boolean NOT NULL DEFAULT false,
  totp_secret bytea,
  totp_confirmed_at timestamptz,
  -- The last time step that was accepted: no code works twice (RFC 6238, 5.2).
  totp_last_step bigint NOT NULL DEFAULT 0,
  recovery_hashes bytea[] NOT NULL DEFAULT '{}',
  disabled_at timestamptz,
  last_login_at timestamptz,
  created_at timestamptz NOT NULL DEFAULT now(),
  UNIQUE (organization_id, id)
);
CREATE UNIQUE INDEX users_login_key ON users (organization_id, login_key);
CREATE INDEX users_email_idx ON users (organization_id, lower(email));
CREATE UNIQUE INDEX users_external_id_key ON users (organization_id, external_id);

-- Wrong passwords per login, whether it exists or not, so that a lock tells nothing.
CREATE TABLE login_attempts (
  organization_id uuid NOT NULL REFERENCES organizations ON DELETE CASCADE,
  login_hash bytea NOT NULL,
  failures integer NOT NULL DEFAULT 0,
  locked_until timestamptz,
  updated_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (organization_id, login_hash)
);

-- Who an account is at an identity provider; the pair of issuer and subject is the identity, never the e-mail address.
CREATE TABLE user_identities (
  id uuid PRIMARY KEY,
  organization_id uuid NOT NULL,
  user_id uuid NOT NULL,
  provider text NOT NULL CHECK (length(provider) BETWEEN 1 AND 100),
  issuer text NOT NULL CHECK (length(issuer) BETWEEN 1 AND 2000),
  subject text NOT NULL CHECK (length(subject) BETWEEN 1 AND 2000),
  created_at timestamptz NOT NULL DEFAULT now(),
  last_login_at timestamptz,
  UNIQUE (organization_id, issuer, subject),
  FOREIGN KEY (organization_id, user_id) REFERENCES users (organization_id, id) ON DELETE CASCADE
);
CREATE INDEX user_identities_user_idx ON user_identities (user_id);

-- Assertions, states and tokens that work once: a second use is a replay.
CREATE TABLE used_nonces (
  organization_id uuid NOT NULL REFERENCES organizations ON DELETE CASCADE,
  nonce bytea NOT NULL,
  expires_at timestamptz NOT NULL,
  PRIMARY KEY (organization_id, nonce)
);
CREATE INDEX used_nonces_expires_idx ON used_nonces (expires_at);

CREATE TABLE groups (
  id uuid PRIMARY KEY,
  organization_id uuid NOT NULL REFERENCES organizations ON DELETE CASCADE,
  name text NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
  external_id text CHECK (length(external_id) <= 400),
  -- `local`, `scim`, or `provider:<name>`: who keeps its members.
  origin text NOT NULL DEFAULT 'local' CHECK (length(origin) <= 200),
  created_at timestamptz NOT NULL DEFAULT now(),
  UNIQUE (organization_id, id)
);
CREATE UNIQUE INDEX groups_name_key ON groups (organization_id, lower(name));
CREATE UNIQUE INDEX groups_external_id_key ON groups (organization_id, external_id);

CREATE TABLE group_members (
  organization_id uuid NOT NULL,
  group_id uuid NOT NULL,
  user_id uuid NOT NULL,
  origin text NOT NULL DEFAULT 'local' CHECK (length(origin) <= 200),
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (group_id, user_id),
  FOREIGN KEY (organization_id, group_id) REFERENCES groups (organization_id, id) ON DELETE CASCADE,
  FOREIGN KEY (organization_id, user_id) REFERENCES users (organization_id, id) ON DELETE CASCADE
);
CREATE INDEX group_members_user_idx ON group_members (user_id);

CREATE TABLE workspace_members (
  organization_id uuid NOT NULL,
  workspace_id uuid NOT NULL,
  user_id uuid NOT NULL,
  role text NOT NULL CHECK (role IN ('admin', 'editor', 'viewer')),
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (workspace_id, user_id),
  FOREIGN KEY (organization_id, workspace_id) REFERENCES workspaces (organization_id, id) ON DELETE CASCADE,
  FOREIGN KEY (organization_id, user_id) REFERENCES users (organization_id, id) ON DELETE CASCADE
);
CREATE INDEX workspace_members_user_idx ON workspace_members (user_id);

CREATE TABLE workspace_groups (
  organization_id uuid NOT NULL,
  workspace_id uuid NOT NULL,
  group_id uuid NOT NULL,
  role text NOT NULL CHECK (role IN ('admin', 'editor', 'viewer')),
  -- `local`, or `provider:<name>`: whose mapping gave the role.
  origin text NOT NULL DEFAULT 'local' CHECK (length(origin) <= 200),
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (workspace_id, group_id),
  FOREIGN KEY (organization_id, workspace_id) REFERENCES workspaces (organization_id, id) ON DELETE CASCADE,
  FOREIGN KEY (organization_id, group_id) REFERENCES groups (organization_id, id) ON DELETE CASCADE
);
CREATE INDEX workspace_groups_group_idx ON workspace_groups (group_id);

CREATE TABLE sessions (
  id uuid PRIMARY KEY,
  organization_id uuid NOT NULL,
  user_id uuid NOT NULL,
  secret_hash bytea NOT NULL,
  user_agent text NOT NULL DEFAULT '',
  address text NOT NULL DEFAULT '',
  -- How the person logged in: `password`, or the provider's name with its issuer, subject and session (for back-channel
  -- log-out).
  method text NOT NULL DEFAULT 'password' CHECK (length(method) <= 200),
  issuer text,
  subject text,
  provider_session text,
  created_at timestamptz NOT NULL DEFAULT now(),
  last_seen_at timestamptz NOT NULL DEFAULT now(),
  expires_at timestamptz NOT NULL,
  FOREIGN KEY (organization_id, user_id) REFERENCES users (organization_id, id) ON DELETE CASCADE
);
CREATE INDEX sessions_subject_idx ON sessions (organization_id, issuer, subject) WHERE issuer IS NOT NULL;
CREATE INDEX sessions_user_idx ON sessions (user_id);

CREATE TABLE api_tokens (
  id uuid PRIMARY KEY,
  organization_id uuid NOT NULL,
  user_id uuid NOT NULL,
  name text NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
  secret_hash bytea NOT NULL,
  scopes text[] NOT NULL,
  -- Null: not limited.
  workspace_ids uuid[],
  networks text[],
  created_by uuid,
  created_at timestamptz NOT NULL DEFAULT now(),
  expires_at timestamptz,
  -- The secret before the last rotation, while it still works.
  previous_hash bytea,
  previous_until timestamptz,
  last_used_at timestamptz,
  last_used_address text NOT NULL DEFAULT '',
  revoked_at timestamptz,
  FOREIGN KEY (organization_id, user_id) REFERENCES users (organization_id, id) ON DELETE CASCADE
);
CREATE INDEX api_tokens_user_idx ON api_tokens (user_id);

-- ── access control lists ────────────────────────────────────────────────────────────────────────────────────────

-- Each set of principals that some document of a workspace has, once. Who reads a document is in its workspace and named
-- by its ACL: `user:…`, `group:…`, or `workspace:…` for everyone in the workspace.
CREATE TABLE acls (
  id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  organization_id uuid NOT NULL,
  workspace_id uuid NOT NULL,
  principals text[] NOT NULL,
  UNIQUE (organization_id, workspace_id, principals),
  UNIQUE (organization_id, workspace_id, id),
  FOREIGN KEY (organization_id, workspace_id) REFERENCES workspaces (organization_id, id) ON DELETE CASCADE
);

-- The same by principal: text equality is leak-proof, so this index is used under row-level security; && is not.
CREATE TABLE acl_members (
  organization_id uuid NOT NULL,
  workspace_id uuid NOT NULL,
  principal text COLLATE "C" NOT NULL,
  acl_id integer NOT NULL,
  PRIMARY KEY (organization_id, principal, acl_id),
  FOREIGN KEY (organization_id, workspace_id, acl_id) REFERENCES acls (organization_id, workspace_id, id) ON DELETE CASCADE
);
CREATE INDEX acl_members_acl_idx ON acl_members (acl_id);

-- Documents of a workspace with the tag may be read by these principals only. The first rule that fits decides.
CREATE TABLE tag_rules (
  id uuid PRIMARY KEY,
  organization_id uuid NOT NULL,
  workspace_id uuid NOT NULL,
  position integer NOT NULL,
  tag text NOT NULL CHECK (length(tag) BETWEEN 1 AND 100),
  principals text[] NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  UNIQUE (workspace_id, tag),
  FOREIGN KEY (organization_id, workspace_id) REFERENCES workspaces (organization_id, id) ON DELETE CASCADE
);

-- ── sources and documents ───────────────────────────────────────────────────────────────────────────────────────

CREATE TABLE sources (
  id uuid PRIMARY KEY,
  organization_id uuid NOT NULL,
  workspace_id uuid NOT NULL,
  kind text NOT NULL CHECK (length(kind) BETWEEN 1 AND 100),
  name text NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
  settings jsonb NOT NULL DEFAULT '{}',
  paused boolean NOT NULL DEFAULT false,
  -- Who may read its documents where the source does not say; null: everyone in the workspace.
  default_acl text[],
  created_at timestamptz NOT NULL DEFAULT now(),
  UNIQUE (organization_id, id),
  FOREIGN KEY (organization_id, workspace_id) REFERENCES workspaces (organization_id, id) ON DELETE CASCADE
);
CREATE UNIQUE INDEX sources_name_key ON sources (organization_id, lower(name));
CREATE INDEX sources_workspace_idx ON sources (workspace_id);

CREATE TABLE source_runs (
  id uuid PRIMARY KEY,
  organization_id uuid NOT NULL,
  source_id uuid NOT NULL,
  state text NOT NULL CHECK (state IN ('queued', 'running', 'succeeded', 'failed', 'cancelled')),
  full_reindex boolean NOT NULL DEFAULT false,
  allow_empty boolean NOT NULL DEFAULT false,
  cancel_requested boolean NOT NULL DEFAULT false,
  discovered integer NOT NULL DEFAULT 0,
  processed integer NOT NULL DEFAULT 0,
  added integer NOT NULL DEFAULT 0,
  changed integer NOT NULL DEFAULT 0,
  unchanged integer NOT NULL DEFAULT 0,
  removed integer NOT NULL DEFAULT 0,
  failed integer NOT NULL DEFAULT 0,
  chunks integer NOT NULL DEFAULT 0,
  current_item text NOT NULL DEFAULT '',
  error text,
  created_at timestamptz NOT NULL DEFAULT now(),
  started_at timestamptz,
  heartbeat_at timestamptz,
  finished_at timestamptz,
  FOREIGN KEY (organization_id, source_id) REFERENCES sources (organization_id, id) ON DELETE CASCADE
);
CREATE INDEX source_runs_source_idx ON source_runs (source_id, created_at DESC);
-- At most one run works and at most one waits behind it.
CREATE UNIQUE INDEX source_runs_active_key ON source_runs (source_id, state) WHERE state IN ('queued', 'running');

CREATE TABLE documents (
  id uuid PRIMARY KEY,
  organization_id uuid NOT NULL,
  workspace_id uuid NOT NULL,
  source_id uuid NOT NULL,
  external_id text NOT NULL,
  uri text NOT NULL,
  title text NOT NULL,
  content_type text NOT NULL,
  language text,
  metadata jsonb NOT NULL DEFAULT '{}',
  -- Those it came with, and those it was given here.
  tags text[] NOT NULL DEFAULT '{}',
  own_tags text[] NOT NULL DEFAULT '{}',
  -- Who may read it: what was set in OPAA, else the first tag rule that fits, else what the source says. `acl_id` is the
  -- outcome, `acl_origin` which of them it was: `document`, `rule:…`, `source`.
  source_acl text[],
  own_acl text[],
  acl_id integer NOT NULL,
  acl_origin text NOT NULL DEFAULT 'source',
  state text NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'archived', 'expired')),
  size_bytes bigint NOT NULL,
  content_hash bytea NOT NULL,
  chunk_count integer NOT NULL DEFAULT 0,
  warnings text[] NOT NULL DEFAULT '{}',
  source_updated_at timestamptz,
  indexed_at timestamptz NOT NULL DEFAULT now(),
  created_at timestamptz NOT NULL DEFAULT now(),
  UNIQUE (organization_id, workspace_id, id, acl_id),
  UNIQUE (source_id, external_id),
  FOREIGN KEY (organization_id, workspace_id, acl_id) REFERENCES acls (organization_id, workspace_id, id),
  FOREIGN KEY (organization_id, workspace_id) REFERENCES workspaces (organization_id, id) ON DELETE CASCADE,
  FOREIGN KEY (organization_id, source_id) REFERENCES sources (organization_id, id) ON DELETE CASCADE
);
CREATE INDEX documents_workspace_idx ON documents (workspace_id, id);

-- What the fast check of an unchanged file compares, apart from the wide table so that a check writes little.
CREATE TABLE source_items (
  organization_id uuid NOT NULL,
  workspace_id uuid NOT NULL,
  source_id uuid NOT NULL,
  external_id text NOT NULL,
  document_id uuid,
  fingerprint text NOT NULL,
  error_reason text,
  error_message text,
  attempts integer NOT NULL DEFAULT 0,
  first_failed_at timestamptz,
  updated_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (source_id, external_id),
  FOREIGN KEY (organization_id, source_id) REFERENCES sources (organization_id, id) ON DELETE CASCADE
);
CREATE INDEX source_items_failed_idx ON source_items (source_id) WHERE error_reason IS NOT NULL;

CREATE TABLE document_texts (
  document_id uuid PRIMARY KEY,
  organization_id uuid NOT NULL,
  workspace_id uuid NOT NULL,
  acl_id integer NOT NULL,
  text text NOT NULL,
  FOREIGN KEY (organization_id, workspace_id, document_id, acl_id)
    REFERENCES documents (organization_id, workspace_id, id, acl_id) ON DELETE CASCADE ON UPDATE CASCADE
);

CREATE TABLE chunks (
  id uuid PRIMARY KEY,
  organization_id uuid NOT NULL,
  workspace_id uuid NOT NULL,
  document_id uuid NOT NULL,
  ordinal integer NOT NULL,
  acl_id integer NOT NULL,
  heading_path text[] NOT NULL,
  text text NOT NULL,
  start_offset integer NOT NULL,
  end_offset integer NOT NULL,
  FOREIGN KEY (organization_id, workspace_id, document_id, acl_id)
    REFERENCES documents (organization_id, workspace_id, id, acl_id) ON DELETE CASCADE ON UPDATE CASCADE
);
CREATE UNIQUE INDEX chunks_document_key ON chunks (document_id, ordinal);

-- ── the index: narrow tables, a partition per workspace ─────────────────────────────────────────────────────────

CREATE TABLE index_generations (
  id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  organization_id uuid NOT NULL REFERENCES organizations ON DELETE CASCADE,
  embedder text NOT NULL,
  dimension integer NOT NULL,
  query_prefix text NOT NULL DEFAULT '',
  passage_prefix text NOT NULL DEFAULT '',
  chunking jsonb NOT NULL DEFAULT '{}',
  state text NOT NULL CHECK (state IN ('building', 'active', 'retired')),
  created_at timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX index_generations_active_key ON index_generations (organization_id) WHERE state = 'active';

CREATE TABLE chunk_embeddings (
  organization_id uuid NOT NULL,
  workspace_id uuid NOT NULL,
  chunk_id uuid NOT NULL,
  document_id uuid NOT NULL,
  generation_id integer NOT NULL,
  acl_id integer NOT NULL,
  content_hash bytea NOT NULL,
  embedding halfvec NOT NULL
) PARTITION BY LIST (workspace_id);
ALTER TABLE chunk_embeddings ALTER COLUMN embedding SET STORAGE PLAIN;
CREATE INDEX chunk_embeddings_chunk_idx ON chunk_embeddings (chunk_id);
CREATE INDEX chunk_embeddings_document_idx ON chunk_embeddings (document_id);
CREATE INDEX chunk_embeddings_content_idx ON chunk_embeddings (content_hash, generation_id);

-- One row per chunk instead of one per posting: 21 million postings took 2.1 GB. `term_ids` is what the GIN index finds
-- chunks by; `packed_ids` (the same ids, ascending, as little-endian int4: an array is slow to send) and `frequencies` (a
-- byte each, fields weighted) are what they are scored from.
CREATE TABLE chunk_terms (
  organization_id uuid NOT NULL,
  workspace_id uuid NOT NULL,
  chunk_id uuid NOT NULL,
  document_id uuid NOT NULL,
  acl_id integer NOT NULL,
  length real NOT NULL,
  term_ids integer[] NOT NULL,
  packed_ids bytea NOT NULL,
  frequencies bytea NOT NULL
) PARTITION BY LIST (workspace_id);
CREATE INDEX chunk_terms_document_idx ON chunk_terms (document_id);
CREATE INDEX chunk_terms_terms_idx ON chunk_terms USING gin (term_ids);

-- Vocabulary and document frequencies (of chunks), summed up from term_changes after an indexing run.
CREATE TABLE terms (
  organization_id uuid NOT NULL,
  workspace_id uuid NOT NULL,
  term_id integer NOT NULL,
  term text COLLATE "C" NOT NULL,
  document_frequency integer NOT NULL,
  PRIMARY KEY (workspace_id, term_id),
  FOREIGN KEY (organization_id, workspace_id) REFERENCES workspaces (organization_id, id) ON DELETE CASCADE
);
CREATE INDEX terms_term_idx ON terms (workspace_id, term);

CREATE TABLE lexical_statistics (
  workspace_id uuid PRIMARY KEY,
  organization_id uuid NOT NULL,
  chunks bigint NOT NULL,
  total_length double precision NOT NULL,
  FOREIGN KEY (organization_id, workspace_id) REFERENCES workspaces (organization_id, id) ON DELETE CASCADE
);

-- What one write added to or took from the two tables above: appended in the write's transaction, so that writers
-- neither wait for each other nor touch a row per term.
CREATE TABLE term_changes (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  organization_id uuid NOT NULL,
  workspace_id uuid NOT NULL,
  chunks integer NOT NULL,
  total_length double precision NOT NULL,
  term_ids integer[] NOT NULL,
  terms text[] NOT NULL,
  counts integer[] NOT NULL,
  FOREIGN KEY (organization_id, workspace_id) REFERENCES workspaces (organization_id, id) ON DELETE CASCADE
);
CREATE INDEX term_changes_workspace_idx ON term_changes (workspace_id);

-- A fact about an entity of a document: entity 0 is the document itself, others are rows of its tables. `name` and
-- `value` are normalized words; `kind` says how `value` reads; dates are days since 1970-01-01 in `number`.
CREATE TABLE attributes (
  organization_id uuid NOT NULL,
  workspace_id uuid NOT NULL,
  document_id uuid NOT NULL,
  acl_id integer NOT NULL,
  entity integer NOT NULL,
  kind text NOT NULL CHECK (kind IN ('text', 'number', 'date', 'boolean')),
  name text COLLATE "C" NOT NULL,
  label text NOT NULL,
  value text COLLATE "C" NOT NULL,
  number double precision,
  unit text COLLATE "C",
  FOREIGN KEY (organization_id, workspace_id, document_id, acl_id)
    REFERENCES documents (organization_id, workspace_id, id, acl_id) ON DELETE CASCADE ON UPDATE CASCADE
);
CREATE INDEX attributes_document_idx ON attributes (document_id);
CREATE INDEX attributes_value_idx ON attributes (workspace_id, value, name);
CREATE INDEX attributes_number_idx ON attributes (workspace_id, name, number) WHERE number IS NOT NULL;

-- ── conversations, usage, audit ─────────────────────────────────────────────────────────────────────────────────

CREATE TABLE conversations (
  id uuid PRIMARY KEY,
  organization_id uuid NOT NULL,
  user_id uuid NOT NULL,
  workspace_id uuid,
  title text NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now(),
  UNIQUE (organization_id, user_id, id),
  FOREIGN KEY (organization_id, user_id) REFERENCES users (organization_id, id) ON DELETE CASCADE,
  FOREIGN KEY (organization_id, workspace_id) REFERENCES workspaces (organization_id, id) ON DELETE CASCADE
);
CREATE INDEX conversations_user_idx ON conversations (user_id, updated_at DESC);

CREATE TABLE messages (
  id uuid PRIMARY KEY,
  organization_id uuid NOT NULL,
  user_id uuid NOT NULL,
  conversation_id uuid NOT NULL,
  role text NOT NULL CHECK (role IN ('user', 'assistant')),
  content text NOT NULL,
  answer jsonb,
  -- The documents that the answer was made from: who may no longer read all of them no longer reads the answer.
  document_ids uuid[] NOT NULL DEFAULT '{}',
  created_at timestamptz NOT NULL DEFAULT now(),
  UNIQUE (organization_id, user_id, id),
  FOREIGN KEY (organization_id, user_id, conversation_id)
    REFERENCES conversations (organization_id, user_id, id) ON DELETE CASCADE
);
CREATE INDEX messages_conversation_idx ON messages (conversation_id, id);

CREATE TABLE feedback (
  id uuid PRIMARY KEY,
  organization_id uuid NOT NULL,
  user_id uuid NOT NULL,
  message_id uuid NOT NULL UNIQUE,
  rating text NOT NULL CHECK (rating IN ('up', 'down')),
  comment text NOT NULL DEFAULT '' CHECK (length(comment) <= 4000),
  created_at timestamptz NOT NULL DEFAULT now(),
  FOREIGN KEY (organization_id, user_id, message_id)
    REFERENCES messages (organization_id, user_id, id) ON DELETE CASCADE
);

CREATE TABLE usage_records (
  id uuid PRIMARY KEY,
  organization_id uuid NOT NULL REFERENCES organizations ON DELETE CASCADE,
  workspace_id uuid,
  user_id uuid,
  kind text NOT NULL,
  model text NOT NULL DEFAULT '',
  input_tokens integer NOT NULL DEFAULT 0,
  output_tokens integer NOT NULL DEFAULT 0,
  cost numeric(18, 9) NOT NULL DEFAULT 0,
  took_ms real NOT NULL DEFAULT 0,
  degraded text,
  created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX usage_records_time_idx ON usage_records (organization_id, created_at);

-- Appended to in the transaction that a row describes; `mac` is keyed with the installation's secret. What may have to be
-- erased one day stands in audit_private, of which only a salted hash is part of the row.
CREATE TABLE audit_log (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  organization_id uuid NOT NULL,
  at timestamptz NOT NULL,
  actor text NOT NULL,
  action text NOT NULL,
  target text NOT NULL DEFAULT '',
  outcome text NOT NULL DEFAULT 'success' CHECK (outcome IN ('success', 'denied', 'failure')),
  details jsonb NOT NULL DEFAULT '{}',
  private_hash bytea,
  mac bytea NOT NULL,
  UNIQUE (organization_id, id)
);
CREATE INDEX audit_log_time_idx ON audit_log (organization_id, at, id);
CREATE INDEX audit_log_actor_idx ON audit_log (organization_id, actor, id);
CREATE INDEX audit_log_target_idx ON audit_log (organization_id, target, id);

CREATE TABLE audit_private (
  audit_id bigint PRIMARY KEY,
  organization_id uuid NOT NULL,
  salt bytea NOT NULL,
  data jsonb NOT NULL,
  FOREIGN KEY (organization_id, audit_id) REFERENCES audit_log (organization_id, id)
);

-- Rows not yet sealed, so that writers wait neither for each other nor for the chain.
CREATE TABLE audit_pending (
  audit_id bigint PRIMARY KEY,
  organization_id uuid NOT NULL,
  FOREIGN KEY (organization_id, audit_id) REFERENCES audit_log (organization_id, id)
);
CREATE INDEX audit_pending_organization_idx ON audit_pending (organization_id, audit_id);

-- The chain of each organization: hash = SHA-256(previous hash, row). `seal` (keyed) stands at the last row of each batch.
CREATE TABLE audit_chain (
  organization_id uuid NOT NULL,
  sequence bigint NOT NULL,
  audit_id bigint NOT NULL UNIQUE,
  hash bytea NOT NULL,
  seal bytea,
  sealed_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (organization_id, sequence),
  FOREIGN KEY (organization_id, audit_id) REFERENCES audit_log (organization_id, id)
);

-- How far the chain was sent to each receiver.
CREATE TABLE audit_shipments (
  organization_id uuid NOT NULL,
  receiver text NOT NULL CHECK (length(receiver) <= 400),
  sequence bigint NOT NULL,
  shipped_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (organization_id, receiver)
);

-- Every change of who may read what, written by triggers, so that the rights of any day can be told later. `subject` gets
-- (or, with a null value, loses) `value` on `object`.
CREATE TABLE permission_events (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  organization_id uuid NOT NULL,
  at timestamptz NOT NULL DEFAULT clock_timestamp(),
  kind text NOT NULL CHECK (kind IN ('role', 'group', 'workspace', 'document')),
  subject text COLLATE "C" NOT NULL,
  object text COLLATE "C" NOT NULL DEFAULT '',
  value jsonb
);
CREATE INDEX permission_events_subject_idx ON permission_events (organization_id, subject, kind, at);

CREATE FUNCTION opaa_record_permission() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
  subject text; object text := ''; kind text; value jsonb; org uuid;
BEGIN
  org := coalesce(NEW.organization_id, OLD.organization_id);
  CASE TG_TABLE_NAME
    WHEN 'users' THEN
      kind := 'role'; subject := 'user:' || coalesce(NEW.id, OLD.id);
      IF TG_OP <> 'DELETE' AND NEW.disabled_at IS NULL THEN value := to_jsonb(NEW.role); END IF;
      IF TG_OP = 'UPDATE' AND NEW.role = OLD.role AND (NEW.disabled_at IS NULL) = (OLD.disabled_at IS NULL) THEN
        RETURN NULL;
      END IF;
    WHEN 'group_members' THEN
      kind := 'group'; subject := 'user:' || coalesce(NEW.user_id, OLD.user_id);
      object := 'group:' || coalesce(NEW.group_id, OLD.group_id);
      IF TG_OP <> 'DELETE' THEN value := to_jsonb(NEW.origin); END IF;
    WHEN 'workspace_members' THEN
      kind := 'workspace'; subject := 'user:' || coalesce(NEW.user_id, OLD.user_id);
      object := 'workspace:' || coalesce(NEW.workspace_id, OLD.workspace_id);
      IF TG_OP <> 'DELETE' THEN value := to_jsonb(NEW.role); END IF;
    WHEN 'workspace_groups' THEN
      kind := 'workspace'; subject := 'group:' || coalesce(NEW.group_id, OLD.group_id);
      object := 'workspace:' || coalesce(NEW.workspace_id, OLD.workspace_id);
      IF TG_OP <> 'DELETE' THEN value := to_jsonb(NEW.role); END IF;
    ELSE
      IF TG_OP = 'UPDATE' AND NEW.acl_id = OLD.acl_id AND NEW.acl_origin = OLD.acl_origin
          AND NEW.state = OLD.state THEN
        RETURN NULL;
      END IF;
      kind := 'document'; subject := 'document:' || coalesce(NEW.id, OLD.id);
      object := 'workspace:' || coalesce(NEW.workspace_id, OLD.workspace_id);
      IF TG_OP <> 'DELETE' AND NEW.state <> 'expired' THEN
        value := jsonb_build_object('origin', NEW.acl_origin, 'workspace', NEW.workspace_id,
          'principals', (SELECT to_jsonb(a.principals) FROM acls a WHERE a.id = NEW.acl_id));
      END IF;
  END CASE;
  INSERT INTO permission_events (organization_id, kind, subject, object, value)
    VALUES (org, kind, subject, CASE kind WHEN 'document' THEN '' ELSE object END, value);
  RETURN NULL;
END $$;

DO $$
DECLARE
  listed text;
BEGIN
  FOREACH listed IN ARRAY ARRAY['users', 'group_members', 'workspace_members', 'workspace_groups', 'documents'] LOOP
    EXECUTE format('CREATE TRIGGER record_permission AFTER INSERT OR UPDATE OR DELETE ON %I'
      ' FOR EACH ROW EXECUTE FUNCTION opaa_record_permission()', listed);
  END LOOP;
END $$;

-- ── row-level security ──────────────────────────────────────────────────────────────────────────────────────────

DO $$
DECLARE
  own constant text := 'organization_id = (SELECT opaa_organization_id())';
  everything constant text := $q$(SELECT '*' = ANY (opaa_principals()))$q$;
  listed text;
BEGIN
  -- The organization's own business: any of its people through the API, which checks roles.
  FOREACH listed IN ARRAY ARRAY['workspaces', 'users', 'login_attempts', 'user_identities', 'used_nonces', 'groups', 'group_members',
    'workspace_members', 'workspace_groups', 'sessions', 'api_tokens', 'acls', 'acl_members', 'tag_rules', 'sources',
    'source_runs', 'source_items', 'index_generations', 'terms', 'lexical_statistics', 'term_changes',
    'usage_records', 'audit_log', 'audit_private', 'audit_pending', 'audit_chain', 'audit_shipments',
    'permission_events'] LOOP
    EXECUTE format('CREATE POLICY tenant ON %I USING (%s) WITH CHECK (%s)', listed, own, own);
  END LOOP;
  EXECUTE 'CREATE POLICY tenant ON organizations USING (id = (SELECT opaa_organization_id()))'
    ' WITH CHECK (id = (SELECT opaa_organization_id()))';
  -- Content: the ACL decides.
  FOREACH listed IN ARRAY ARRAY['documents', 'document_texts', 'chunks', 'chunk_embeddings', 'chunk_terms', 'attributes'] LOOP
    EXECUTE format('CREATE POLICY tenant ON %I USING (%s AND (%s OR acl_id IN (SELECT unnest(opaa_acl_ids())))) WITH CHECK (%s AND %s)',
      listed, own, everything, own, everything);
  END LOOP;
  -- A person's own conversations.
  FOREACH listed IN ARRAY ARRAY['conversations', 'messages', 'feedback'] LOOP
    EXECUTE format('CREATE POLICY tenant ON %I USING (%s AND (%s OR ''user:'' || user_id = ANY ((SELECT opaa_principals())::text[])))',
      listed, own, everything);
  END LOOP;
  FOR listed IN SELECT tablename FROM pg_policies WHERE schemaname = 'public' LOOP
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', listed);
    EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', listed);
  END LOOP;
END $$;

-- ── what the application's role may do ──────────────────────────────────────────────────────────────────────────

GRANT USAGE ON SCHEMA public TO opaa_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO opaa_app;
GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO opaa_app;
REVOKE UPDATE, DELETE ON audit_log, audit_chain, permission_events FROM opaa_app;
REVOKE UPDATE ON audit_private, audit_pending, acls, acl_members FROM opaa_app;
REVOKE INSERT, UPDATE, DELETE ON alembic_version FROM opaa_app;

-- ── the tenant context, and access control lists ────────────────────────────────────────────────────────────────

-- Sets, for this transaction alone, whose rows it may touch. Which ACLs the principals may read is looked up once.
CREATE FUNCTION opaa_set_context(organization uuid, principals text[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  PERFORM set_config('opaa.organization_id', organization::text, true),
          set_config('opaa.principals', principals::text, true),
          set_config('opaa.acl_ids', '', true);
  IF NOT '*' = ANY (principals) THEN
    PERFORM set_config('opaa.acl_ids', coalesce((
      SELECT array_agg(DISTINCT m.acl_id)::text FROM acl_members m
       WHERE m.organization_id = organization AND m.principal = ANY (principals)
         AND m.workspace_id = ANY (ARRAY(
           SELECT substr(p, 11)::uuid FROM unnest(principals) p WHERE starts_with(p, 'workspace:')))), ''), true);
  END IF;
END $$;

-- The id of a workspace's ACL with these principals, made when it is new.
CREATE FUNCTION opaa_acl_id(organization uuid, workspace uuid, wanted text[]) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
  sorted text[] := ARRAY(SELECT DISTINCT p COLLATE "C" FROM unnest(wanted) p ORDER BY 1);
  known integer;
BEGIN
  LOOP
    SELECT a.id INTO known FROM acls a
     WHERE a.organization_id = organization AND a.workspace_id = workspace AND a.principals = sorted;
    IF FOUND THEN RETURN known; END IF;
    INSERT INTO acls (organization_id, workspace_id, principals) VALUES (organization, workspace, sorted)
      ON CONFLICT DO NOTHING RETURNING id INTO known;
    IF FOUND THEN
      INSERT INTO acl_members (organization_id, workspace_id, principal, acl_id)
        SELECT organization, workspace, p, known FROM unnest(sorted) p;
      RETURN known;
    END IF;
  END LOOP;
END $$;

-- ── functions with rights of their own; each is a security boundary with tests of its own ───────────────────────

-- The owner of `opaa_lexical_candidates`. @> and && on arrays are not leak-proof, so under a policy the planner may not
-- use the GIN index; this role's policy lets it, and the function repeats the predicate of the policy.
GRANT USAGE ON SCHEMA public TO opaa_lexical, opaa_directory;
GRANT SELECT ON chunk_terms TO opaa_lexical;
CREATE POLICY lexical ON chunk_terms FOR SELECT TO opaa_lexical USING (true);

-- Which organization a name belongs to must be known before there is a context.
GRANT SELECT (id, slug) ON organizations TO opaa_directory;
CREATE POLICY directory ON organizations FOR SELECT TO opaa_directory USING (true);

GRANT CREATE ON SCHEMA public TO opaa_directory;
CREATE FUNCTION opaa_organization_by_slug(wanted text) RETURNS uuid
  LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
  AS $$ SELECT id FROM public.organizations WHERE slug = wanted $$;
CREATE FUNCTION opaa_organization_ids() RETURNS SETOF uuid
  LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
  AS $$ SELECT id FROM public.organizations ORDER BY id $$;
ALTER FUNCTION opaa_organization_by_slug(text) OWNER TO opaa_directory;
ALTER FUNCTION opaa_organization_ids() OWNER TO opaa_directory;
REVOKE CREATE ON SCHEMA public FROM opaa_directory;

-- Partitions are made and indexed by the owner on behalf of the application, which cannot run DDL itself.
CREATE FUNCTION opaa_create_workspace_partitions(workspace uuid) RETURNS void
  LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
  parent text;
  part text;
BEGIN
  FOREACH parent IN ARRAY ARRAY['chunk_embeddings', 'chunk_terms'] LOOP
    part := parent || '_' || replace(workspace::text, '-', '');
    IF to_regclass('public.' || part) IS NULL THEN
      EXECUTE format('CREATE TABLE public.%I (LIKE public.%I INCLUDING DEFAULTS INCLUDING STORAGE)', part, parent);
      EXECUTE format('ALTER TABLE public.%I ENABLE ROW LEVEL SECURITY', part);
      EXECUTE format('ALTER TABLE public.%I FORCE ROW LEVEL SECURITY', part);
      EXECUTE format('ALTER TABLE public.%I ATTACH PARTITION public.%I FOR VALUES IN (%L)', parent, part, workspace);
    END IF;
  END LOOP;
END $$;

CREATE FUNCTION opaa_drop_workspace_partitions(workspace uuid) RETURNS void
  LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
  parent text;
BEGIN
  IF EXISTS (SELECT FROM workspaces WHERE id = workspace) THEN
    RAISE EXCEPTION 'workspace % still exists', workspace;
  END IF;
  FOREACH parent IN ARRAY ARRAY['chunk_embeddings', 'chunk_terms'] LOOP
    EXECUTE format('DROP TABLE IF EXISTS public.%I', parent || '_' || replace(workspace::text, '-', ''));
  END LOOP;
END $$;

-- Builds the HNSW index of one workspace's vectors; below the size that the caller knows, an exact scan is as fast.
CREATE FUNCTION opaa_build_vector_index(workspace uuid, generation integer, dimension integer) RETURNS boolean
  LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
  SET maintenance_work_mem = '512MB' SET statement_timeout = 0 AS $$
DECLARE
  part text := 'chunk_embeddings_' || replace(workspace::text, '-', '');
  name text := format('hnsw_%s_%s', replace(workspace::text, '-', ''), generation);
BEGIN
  IF dimension NOT BETWEEN 1 AND 4000 OR to_regclass('public.' || part) IS NULL THEN
    RAISE EXCEPTION 'no partition for workspace % or dimension % out of range', workspace, dimension;
  END IF;
  IF to_regclass('public.' || name) IS NOT NULL THEN
    RETURN false;
  END IF;
  EXECUTE format('CREATE INDEX %I ON public.%I USING hnsw ((embedding::halfvec(%s)) halfvec_cosine_ops)'
    ' WITH (m = 16, ef_construction = 64) WHERE generation_id = %s', name, part, dimension, generation);
  RETURN true;
END $$;

-- Planner statistics of one workspace's partitions after an indexing run, without waiting for autovacuum.
CREATE FUNCTION opaa_analyze_workspace(workspace uuid) RETURNS void
  LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
  part text;
BEGIN
  FOREACH part IN ARRAY ARRAY['chunk_embeddings_', 'chunk_terms_'] LOOP
    part := part || replace(workspace::text, '-', '');
    IF to_regclass('public.' || part) IS NOT NULL THEN
      EXECUTE format('ANALYZE public.%I', part);
    END IF;
  END LOOP;
END $$;

-- At most `maximum` chunks of `workspaces` that hold any term of `any_of`, and half as many that hold all of `all_of`,
-- readable by the tenant context of the caller, as one row of parallel byte strings (16-byte uuids, float4 and counts as
-- int4, both big-endian, then ids and frequencies of all of them one after the other). A chunk may come twice; telling
-- apart here would compare arrays element by element, row by row. Planned for the arguments of each call: a plan for any
-- arguments was ten times slower.
GRANT CREATE ON SCHEMA public TO opaa_lexical;
CREATE FUNCTION opaa_lexical_candidates(
    workspaces uuid[], any_of integer[], all_of integer[], documents uuid[], maximum integer,
    OUT chunk_ids bytea, OUT document_ids bytea, OUT lengths bytea, OUT counts bytea, OUT ids bytea, OUT frequencies bytea)
  LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
  SET plan_cache_mode = force_custom_plan SET enable_seqscan = off AS $$
BEGIN
  SELECT string_agg(uuid_send(c.chunk_id), ''), string_agg(uuid_send(c.document_id), ''),
         string_agg(float4send(c.length), ''), string_agg(int4send(octet_length(c.frequencies)), ''),
         string_agg(c.packed_ids, ''), string_agg(c.frequencies, '')
    INTO chunk_ids, document_ids, lengths, counts, ids, frequencies
    FROM (
      (SELECT t.chunk_id, t.document_id, t.length, t.packed_ids, t.frequencies FROM public.chunk_terms t
        WHERE t.workspace_id = ANY (workspaces) AND t.term_ids && any_of
          AND t.organization_id = (SELECT public.opaa_organization_id())
          AND ((SELECT '*' = ANY (public.opaa_principals())) OR t.acl_id IN (SELECT unnest(public.opaa_acl_ids())))
          AND (documents IS NULL OR t.document_id = ANY (documents))
        LIMIT maximum)
      UNION ALL
      (SELECT t.chunk_id, t.document_id, t.length, t.packed_ids, t.frequencies FROM public.chunk_terms t
        WHERE t.workspace_id = ANY (workspaces) AND t.term_ids @> all_of
          AND t.organization_id = (SELECT public.opaa_organization_id())
          AND ((SELECT '*' = ANY (public.opaa_principals())) OR t.acl_id IN (SELECT unnest(public.opaa_acl_ids())))
          AND (documents IS NULL OR t.document_id = ANY (documents))
        LIMIT maximum / 2)
    ) c;
END $$;
ALTER FUNCTION opaa_lexical_candidates(uuid[], integer[], integer[], uuid[], integer) OWNER TO opaa_lexical;
REVOKE CREATE ON SCHEMA public FROM opaa_lexical;

REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA public FROM PUBLIC;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO opaa_app, opaa_lexical, opaa_directory;
