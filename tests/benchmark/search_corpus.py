"""200,000 generated chunks in 20 workspaces of unequal size, loaded by COPY: clustered vectors, natural words."""

import hashlib
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from uuid import UUID

import numpy as np
import psycopg
from numpy.typing import NDArray

from opaa.retrieval.analysis import stem, term_id

DIMENSION = 384
CHUNKS_PER_DOCUMENT = 4
WORDS_PER_CHUNK = 128  # about 1,200 characters, the longest chunk, and 105 different terms
VOCABULARY = 60_000
TOPICS = 2_000
TOPIC_WORDS = 40
GROUP_SHARE = 0.05
ONE_GROUP = "group:one"
MANY_GROUPS = tuple(f"group:{number:036d}" for number in range(500))  # as long as real ones
SYLLABLES = ("ka", "lo", "mi", "ter", "van", "sol", "ber", "nu", "dra", "fen", "gol", "hi", "pra", "wes", "zu", "tam")


@dataclass
class Workspace:
    """Rows of one workspace lie one after the other: chunk i belongs to document i // 4. `restricted` (documents,)
    are readable by `group` alone, the others by the workspace."""

    id: UUID
    group: str
    vectors: NDArray[np.float32]
    words: NDArray[np.int32]
    restricted: NDArray[np.bool_]

    @property
    def principal(self) -> str:
        return f"workspace:{self.id}"

    def acl(self, chunk: int) -> tuple[str, ...]:
        """One document in ten is besides readable by one group of all, and by one of many groups."""
        document = chunk // CHUNKS_PER_DOCUMENT
        if self.restricted[document]:
            return (self.group,)
        if document % 10:
            return (self.principal,)
        return (self.principal, ONE_GROUP, MANY_GROUPS[document // 10 % len(MANY_GROUPS)])


@dataclass
class Corpus:
    """All workspaces of one organization, and the words by rank of frequency."""

    organization_id: UUID
    vocabulary: list[str]
    workspaces: list[Workspace]


def workspace_sizes(chunks: int, workspaces: int) -> list[int]:
    """Sizes that fall off as 1 / rank^0.9, multiples of the chunks of a document, at least 400."""
    shares = 1 / np.arange(1, workspaces + 1) ** 0.9
    sizes = np.maximum(shares / shares.sum() * chunks, 400).astype(int)
    return [int(size) // CHUNKS_PER_DOCUMENT * CHUNKS_PER_DOCUMENT for size in sizes]


def generate(organization_id: UUID, chunks: int, workspaces: int, seed: int = 11) -> Corpus:
    """Documents have a topic: its chunks lie around the topic's vector and use its words besides the common ones."""
    random = np.random.default_rng(seed)
    vocabulary = _vocabulary()
    centers = _unit(random.normal(size=(TOPICS, DIMENSION)))
    topic_words = random.integers(200, VOCABULARY, size=(TOPICS, TOPIC_WORDS))
    frequencies = 1 / (np.arange(VOCABULARY) + 2.7) ** 1.05  # Zipf-Mandelbrot
    cumulative = np.cumsum(frequencies / frequencies.sum())
    made = []
    for number, size in enumerate(workspace_sizes(chunks, workspaces)):
        documents = size // CHUNKS_PER_DOCUMENT
        topics = np.repeat(random.integers(0, TOPICS, documents), CHUNKS_PER_DOCUMENT)
        noise = random.normal(size=(size, DIMENSION)) * (0.8 / np.sqrt(DIMENSION))
        words = np.searchsorted(cumulative, random.random((size, WORDS_PER_CHUNK))).clip(0, VOCABULARY - 1)
        own = random.random((size, WORDS_PER_CHUNK)) < 0.15
        chosen = topic_words[topics[:, None], random.integers(0, TOPIC_WORDS, (size, WORDS_PER_CHUNK))]
        made.append(
            Workspace(
                _uuid(f"workspace-{seed}-{number}-{organization_id}"),
                f"group:{_uuid(f'group-{number}')}",
                _unit(centers[topics] + noise).astype(np.float32),
                np.where(own, chosen, words).astype(np.int32),
                random.random(documents) < GROUP_SHARE,
            )
        )
    return Corpus(organization_id, vocabulary, made)


def load(superuser_url: str, corpus: Corpus, generation_id: int) -> None:
    """Everything into the database as indexing would have left it; partitions exist, their GIN index is made after."""
    stems = [stem(word, "en") for word in corpus.vocabulary]
    unique = sorted(set(stems))
    index = {word: position for position, word in enumerate(unique)}
    of_word = np.array([index[word] for word in stems], np.int32)
    ids = np.array([term_id(word) for word in unique], np.int32)
    with psycopg.connect(superuser_url) as connection:
        connection.execute("SET synchronous_commit = off")
        connection.execute("SET maintenance_work_mem = '512MB'")
        connection.execute("DROP INDEX chunk_terms_terms_idx")
        for workspace in corpus.workspaces:
            _load_workspace(connection, corpus, workspace, generation_id, (of_word, ids, unique))
        connection.execute("CREATE INDEX chunk_terms_terms_idx ON chunk_terms USING gin (term_ids)")
        connection.commit()
        connection.autocommit = True
        connection.execute("VACUUM ANALYZE")


def _load_workspace(
    connection: psycopg.Connection,
    corpus: Corpus,
    workspace: Workspace,
    generation_id: int,
    terms: tuple[NDArray[np.int32], NDArray[np.int32], list[str]],
) -> None:
    of_word, ids, unique = terms
    organization, owner = corpus.organization_id, workspace.id
    documents = len(workspace.vectors) // CHUNKS_PER_DOCUMENT
    source = _uuid(f"source-{owner}")
    connection.execute(
        "INSERT INTO sources (id, organization_id, workspace_id, kind, name) VALUES (%s, %s, %s, 'filesystem', %s)",
        (source, organization, owner, str(owner)),
    )
    acls = _acls(connection, corpus, workspace)
    with connection.cursor().copy(
        "COPY documents (id, organization_id, workspace_id, source_id, external_id, uri, title, content_type, acl_id,"
        " size_bytes, content_hash) FROM STDIN"
    ) as copy:
        for document in range(documents):
            name = f"{document}.md"
            acl = acls[workspace.acl(document * CHUNKS_PER_DOCUMENT)]
            title = corpus.vocabulary[workspace.words[document * CHUNKS_PER_DOCUMENT, 0]]
            copy.write_row(
                (
                    document_id(owner, document),
                    organization,
                    owner,
                    source,
                    name,
                    name,
                    title,
                    "text/markdown",
                    acl,
                    1,
                    b"",
                )
            )
    frequency: dict[int, int] = {}
    copies = (
        "COPY chunks (id, organization_id, workspace_id, document_id, ordinal, acl_id, heading_path, text,"
        " start_offset, end_offset) FROM STDIN",
        "COPY chunk_terms (organization_id, workspace_id, chunk_id, document_id, acl_id, length, term_ids, packed_ids,"
        " frequencies) FROM STDIN",
    )
    with connection.cursor().copy(copies[0]) as copy:
        for chunk, words in enumerate(workspace.words.tolist()):
            text = " ".join([corpus.vocabulary[word] for word in words])
            copy.write_row(
                (chunk_id(owner, chunk), organization, owner, document_id(owner, chunk // CHUNKS_PER_DOCUMENT),
                 chunk % CHUNKS_PER_DOCUMENT, acls[workspace.acl(chunk)], [], text, 0, len(text))
            )  # fmt: skip
    with connection.cursor().copy(copies[1]) as copy:
        for chunk, words in enumerate(workspace.words):
            found, counts = np.unique(of_word[words], return_counts=True)
            order = np.argsort(ids[found])
            found, counts = found[order], counts[order]
            for each in found.tolist():
                frequency[each] = frequency.get(each, 0) + 1
            packed = ids[found]
            copy.write_row(
                (organization, owner, chunk_id(owner, chunk), document_id(owner, chunk // CHUNKS_PER_DOCUMENT),
                 acls[workspace.acl(chunk)], float(WORDS_PER_CHUNK), packed.tolist(), packed.astype("<i4").tobytes(),
                 counts.astype(np.uint8).tobytes())
            )  # fmt: skip
    with connection.cursor().copy(
        "COPY chunk_embeddings (organization_id, workspace_id, chunk_id, document_id, generation_id, acl_id,"
        " content_hash, embedding) FROM STDIN (FORMAT binary)"
    ) as copy:
        copy.write(b"PGCOPY\n\xff\r\n\0" + struct.pack(">II", 0, 0))
        for row in _embedding_rows(corpus, workspace, generation_id, acls):
            copy.write(row)
        copy.write(struct.pack(">h", -1))
    with connection.cursor().copy(
        "COPY terms (organization_id, workspace_id, term_id, term, document_frequency) FROM STDIN"
    ) as copy:
        seen: set[int] = set()
        for position, count in frequency.items():
            if int(ids[position]) not in seen:
                seen.add(int(ids[position]))
                copy.write_row((organization, owner, int(ids[position]), unique[position], count))
    chunks = len(workspace.vectors)
    connection.execute(
        "INSERT INTO lexical_statistics (workspace_id, organization_id, chunks, total_length) VALUES (%s, %s, %s, %s)",
        (owner, organization, chunks, chunks * WORDS_PER_CHUNK),
    )


def _acls(connection: psycopg.Connection, corpus: Corpus, workspace: Workspace) -> dict[tuple[str, ...], int]:
    """The id of each ACL that the workspace's documents have."""
    found = {}
    wanted = {workspace.acl(document * CHUNKS_PER_DOCUMENT) for document in range(len(workspace.restricted))}
    for principals in sorted(wanted):
        row = connection.execute(
            "SELECT opaa_acl_id(%s, %s, %s::text[])", (corpus.organization_id, workspace.id, list(principals))
        ).fetchone()
        found[principals] = row[0] if row is not None else 0
    return found


def _embedding_rows(
    corpus: Corpus, workspace: Workspace, generation_id: int, acls: dict[tuple[str, ...], int]
) -> Iterator[bytes]:
    head = struct.pack(">h", 8) + _field(corpus.organization_id.bytes) + _field(workspace.id.bytes)
    halves = workspace.vectors.astype(">f2")
    for chunk in range(len(halves)):
        identity = chunk_id(workspace.id, chunk)
        yield b"".join(
            (
                head,
                _field(identity.bytes),
                _field(document_id(workspace.id, chunk // CHUNKS_PER_DOCUMENT).bytes),
                _field(struct.pack(">i", generation_id)),
                _field(struct.pack(">i", acls[workspace.acl(chunk)])),
                _field(identity.bytes),
                _field(struct.pack(">HH", DIMENSION, 0) + halves[chunk].tobytes()),
            )
        )


def chunk_id(workspace_id: UUID, chunk: int) -> UUID:
    return UUID(int=(workspace_id.int & ~0xFFFFFFFFFF) | (1 << 39) | chunk)


def document_id(workspace_id: UUID, document: int) -> UUID:
    return UUID(int=(workspace_id.int & ~0xFFFFFFFFFF) | document)


def _field(data: bytes) -> bytes:
    return struct.pack(">i", len(data)) + data


def _uuid(name: str) -> UUID:
    return UUID(bytes=hashlib.sha256(name.encode()).digest()[:16])


def _unit(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def _vocabulary() -> list[str]:
    """Words that look like words, the frequent ones shorter: numbers written in syllables."""
    words = []
    for number in range(VOCABULARY):
        rest, syllables = number, []
        while rest or len(syllables) < 2:
            rest, syllable = divmod(rest, len(SYLLABLES))
            syllables.append(str(SYLLABLES[syllable]))
        words.append("".join(syllables) + "k")
    return words
