"""The manifest of a backup: its version, the schema's version, and a checksum for each table."""

import re
from datetime import datetime
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from dexexec.errors import BackupError
from dexexec.store import CopiedTable

VERSION = 1
"""The version of the file's format. The version of the schema is in `migrations`."""
MAX_BYTES = 16 << 20
"""The longest manifest that is read: tens of thousands of tables."""

Name = Annotated[str, Field(pattern=r"^[a-z_][a-z0-9_]{0,62}$")]
Count = Annotated[int, Field(ge=0)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TableEntry(_Strict):
    """A table in the file: how to make it again, and what its bytes must be."""

    name: Name
    kind: Literal["table", "partition", "detached"]
    columns: Annotated[tuple[Name, ...], Field(min_length=1)]
    start: str | None = None
    end: str | None = None
    rows: Count
    bytes: Count
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]

    @model_validator(mode="after")
    def _check(self) -> Self:
        beginning = {"table": "", "partition": "archived_orders_", "detached": "dropping_orders_"}[self.kind]
        if not self.name.startswith(beginning) or (self.kind == "partition") != bool(self.start and self.end):
            raise ValueError(f"{self.name} is no {self.kind}")
        return self

    @property
    def table(self) -> CopiedTable:
        """The table, as the store describes it."""
        return CopiedTable(name=self.name, kind=self.kind, columns=self.columns, start=self.start, end=self.end)


class Manifest(_Strict):
    """A backup. `taken_at` is the moment that it shows, by the clock of Postgres; `record` is the record's name in
    memos; `numbers` has the last number that each counter has given out."""

    format: Literal["dexexec-backup"] = "dexexec-backup"
    version: Literal[1] = 1
    dexexec: str
    postgres: str
    taken_at: datetime
    record: str
    migrations: Annotated[tuple[Annotated[str, Field(pattern=r"^[0-9]{4}_\w+\.sql$")], ...], Field(min_length=1)]
    numbers: dict[Name, Count]
    tables: tuple[TableEntry, ...]


def read_manifest(text: bytes) -> Manifest:
    """Read a manifest. Raises `BackupError`."""
    newer = re.search(rb'"version":\s*([0-9]{1,9})', text)
    if newer and int(newer[1]) > VERSION:
        raise BackupError(f"its format has version {int(newer[1])}, and this dexexec reads {VERSION}: use a newer one")
    try:
        manifest = Manifest.model_validate_json(text)
    except ValidationError as error:
        [first, *_] = error.errors()
        place = ".".join(map(str, first["loc"])) or "it"
        raise BackupError(f"its manifest is damaged ({place}: {first['msg']})") from None
    names = [entry.name for entry in manifest.tables]
    if len(set(names)) != len(names):
        raise BackupError("its manifest names a table twice")
    return manifest
