"""The tables of one kind of entity, and the statements that read and write them."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from headrace_pgvector.fence import Derived, FencedTable
from headrace_schemas.changes import CHANGES
from headrace_schemas.fields import Kind
from headrace_schemas.topics import SOURCE_NAMES

MAX_NAME_BYTES = 63


@dataclass(frozen=True)
class Tables:
    """The names and statements for one kind and one model id; nothing in them comes from a record."""

    kind: Kind
    model: str

    @property
    def name(self) -> str:
        """The table of the entities. The names of its view and migrations end with it."""
        return SOURCE_NAMES[self.kind]

    @property
    def vector_table(self) -> str:
        """The name without schema and quotes.

        Raises ValueError if PostgreSQL would truncate it: then two models could have the same table.
        """
        name = f"{self.kind}_vectors__{self.model}"
        if len(name.encode()) > MAX_NAME_BYTES - len("_hnsw"):
            raise ValueError(f"the model id {self.model!r} is too long for the name of a PostgreSQL table")
        return name

    @property
    def vectors(self) -> str:
        return f'"{self.vector_table}"'

    @cached_property
    def rows(self) -> FencedTable:
        """The table of the entities; a batch also has the hash of each embedded text, and the digest of each change.

        An unchanged hash means an unchanged text: then the hashes of the other models stay.
        """
        hashes = Derived(
            "content_hashes",
            f"CASE WHEN content_hash IS NOT NULL THEN jsonb_build_object('{self.model}', content_hash) END",
            "CASE WHEN t.hashed_version = t.version AND t.content_hashes @> excluded.content_hashes "
            "THEN t.content_hashes ELSE excluded.content_hashes END",
        )
        version = Derived(
            "hashed_version", "CASE WHEN content_hash IS NOT NULL THEN version END", "excluded.hashed_version"
        )
        digest = Derived("digest", "change_digest", "excluded.digest")
        incoming = ("content_hash", "change_digest")
        return FencedTable(self.name, CHANGES[self.kind].field_names, incoming, (hashes, version, digest))

    @property
    def columns(self) -> tuple[str, ...]:
        """The entity's own fields, id first."""
        return self.rows.columns

    @property
    def id(self) -> str:
        return self.rows.id

    def create_vectors(self, dimension: int) -> str:
        """The vectors of live entities, with an HNSW index by cosine and the hash of the embedded text."""
        return f"""
            CREATE TABLE {self.vectors} (
                {self.id} text COLLATE "C" PRIMARY KEY,
                content_hash text NOT NULL,
                embedding public.vector({dimension}) NOT NULL
            );
            CREATE INDEX "{self.vector_table}_hnsw" ON {self.vectors}
            USING hnsw (embedding public.vector_cosine_ops);
        """

    @cached_property
    def remove_changed_vectors(self) -> str:
        """$1: the ids that were updated. Returns those whose vector is of the same text: it stays, with its place in
        the HNSW graph.
        """
        return f"""
            WITH removed AS (
                DELETE FROM {self.vectors} v USING {self.rows.incoming} i
                WHERE v.{self.id} = i.{self.id} AND v.{self.id} = ANY($1)
                AND v.content_hash IS DISTINCT FROM i.content_hash
            )
            SELECT v.{self.id} FROM {self.vectors} v JOIN {self.rows.incoming} i USING ({self.id})
            WHERE v.{self.id} = ANY($1) AND v.content_hash = i.content_hash
        """  # noqa: S608

    @cached_property
    def add_hashes(self) -> str:
        """$1: ids whose rows equal these changes. Adds the hashes of this model to those of the models before it."""
        added = f"jsonb_build_object('{self.model}', i.content_hash)"
        return f"""
            UPDATE {self.rows.name} t SET hashed_version = t.version,
            content_hashes = CASE WHEN t.hashed_version = t.version THEN t.content_hashes || {added} ELSE {added} END
            FROM {self.rows.incoming} i WHERE t.{self.id} = i.{self.id} AND t.{self.id} = ANY($1)
            AND i.content_hash IS NOT NULL
            AND (t.hashed_version IS DISTINCT FROM t.version OR NOT t.content_hashes @> {added})
        """  # noqa: S608

    @cached_property
    def kept(self) -> str:
        """$1: the ids that were not written. Returns the stored version and digest of each, and whether its row equals
        this change: after a redelivery, or after the worker of another model has written it.
        """
        alike = " AND ".join(f"t.{column} IS NOT DISTINCT FROM i.{column}" for column in (*self.columns, "version"))
        return f"""
            SELECT t.{self.id}, t.version, t.digest, {alike} AND (t.deleted_at IS NOT NULL) = i.deleted
            FROM {self.rows.name} t JOIN {self.rows.incoming} i USING ({self.id}) WHERE t.{self.id} = ANY($1)
        """  # noqa: S608

    @property
    def forget(self) -> str:
        """$1: an id; $2: a version."""
        return f"DELETE FROM {self.rows.table} WHERE {self.id} = $1 AND version = $2"  # noqa: S608

    @property
    def remove_vectors_without_row(self) -> str:
        """$1: ids."""
        without = f"NOT EXISTS (SELECT FROM {self.rows.table} t WHERE t.{self.id} = v.{self.id})"
        return f"DELETE FROM {self.vectors} v WHERE v.{self.id} = ANY($1) AND {without}"  # noqa: S608

    @cached_property
    def dimension(self) -> str:
        """pgvector keeps a column's dimension as its type modifier. No row if there is no such table."""
        return f"""
            SELECT atttypmod FROM pg_attribute
            WHERE attrelid = to_regclass('{self.vectors}') AND attname = 'embedding'
        """  # noqa: S608

    @cached_property
    def indexed_models(self) -> str:
        return f"""
            SELECT split_part(relname, '__', 2) AS model FROM pg_class
            WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r'
            AND split_part(relname, '__', 1) = '{self.kind}_vectors'
            ORDER BY model
        """  # noqa: S608

    @property
    def own_vector(self) -> str:
        """Whether the vector `v` is of the text of the row `t`. The worker of another model may have changed the row
        since. A row without hashes of its version was written by a worker that stores none.
        """
        return f"t.deleted_at IS NULL AND {self._same_text}"

    @property
    def canary(self) -> str:
        """$1: the canary's id. Its version, if it has the vector of its text: a deleted one has none. Each search sees
        every committed row, so this finds what a search by vector finds, without the way through the index: there
        each former vector of the canary, until vacuum removes it, would be nearer than any other.
        """
        return f"""
            SELECT t.version FROM {self.rows.name} t JOIN {self.vectors} v USING ({self.id})
            WHERE t.{self.id} = $1 AND {self._same_text}
        """  # noqa: S608

    @property
    def _same_text(self) -> str:
        hashed = f"t.content_hashes ->> '{self.model}' IS NOT DISTINCT FROM v.content_hash"
        return f"(t.hashed_version IS DISTINCT FROM t.version OR {hashed})"

    @cached_property
    def stored(self) -> str:
        fields = ", ".join(f"t.{column}" for column in self.columns)
        return f"""
            SELECT {fields}, t.version, t.deleted_at IS NOT NULL AS deleted, t.digest, v.content_hash
            FROM {self.rows.name} t LEFT JOIN {self.vectors} v ON v.{self.id} = t.{self.id} AND {self.own_vector}
        """  # noqa: S608

    @property
    def stored_page(self) -> str:
        """$1: the last id of the page before; $2: the size of a page."""
        return f"{self.stored} WHERE t.{self.id} > $1 ORDER BY t.{self.id} LIMIT $2"

    @property
    def stored_ids(self) -> str:
        return f"{self.stored} WHERE t.{self.id} = ANY($1)"

    @property
    def searchable(self) -> str:
        """$1: ids. The versions of those that a search finds."""
        return f"""
            SELECT {self.id}, t.version FROM {self.rows.name} t JOIN {self.vectors} v USING ({self.id})
            WHERE {self.id} = ANY($1) AND {self.own_vector}
        """  # noqa: S608

    @property
    def live_count(self) -> str:
        return f"SELECT count(*) FROM {self.rows.name} WHERE deleted_at IS NULL"  # noqa: S608

    def nearest(self, conditions: Sequence[str] = (), *, exact: bool = False) -> str:
        """$1: the vector of the query; $2: the limit, which counts only the vectors of live rows with the same text.
        `conditions`: on the row `t`, with parameters from $3.

        Scans the HNSW index as far as PostgreSQL's settings allow: where many vectors are not of their row, or few rows
        meet the conditions, it may return fewer rows than there are. `exact`: without the index.
        """
        order = "distance + 0" if exact else "distance"
        wanted = " AND ".join([self.own_vector, *conditions])
        fields = ", ".join(f"t.{column}" for column in self.columns)
        return f"""
            SELECT {fields}, 1 - distance AS score
            FROM (SELECT *, embedding OPERATOR(public.<=>) $1 AS distance FROM {self.vectors}) v
            JOIN {self.rows.name} t USING ({self.id})
            WHERE {wanted} ORDER BY {order} LIMIT $2
        """  # noqa: S608


def tables_of(model: str) -> dict[Kind, Tables]:
    """The tables of every kind for one model id."""
    return {kind: Tables(kind, model) for kind in SOURCE_NAMES}
