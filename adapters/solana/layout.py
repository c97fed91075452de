"""Reads accounts by a table of their fields. Offsets, checks and searches follow from the table.

A table is a `NamedTuple` whose fields have the types below, in the order of the account. The bytes come from a node and
are not trusted: owner, discriminator and size are checked before any field is read. Needs no Solana library.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache, partial
from struct import Struct, calcsize
from typing import Annotated, Any, Generic, NamedTuple, TypeVar, get_args, get_origin, get_type_hints

from dexexec.domain import base58
from dexexec.domain.solana import Account, AccountFilters
from dexexec.venue import BadAnswer

RecordT = TypeVar("RecordT", bound=NamedTuple)
RowT = TypeVar("RowT", bound=NamedTuple)

MOST_DECODED = 256
"""Versions of accounts of one layout that are kept decoded. An account is decoded again only when it has changed."""


@dataclass(frozen=True, slots=True)
class Wire:
    """How a field is stored: its format in `struct`, and what makes its value of that. `read` raises `ValueError` for
    an invalid value."""

    format: str
    read: Callable[[Any], object] | None = None


@dataclass(frozen=True, slots=True)
class _Gap:
    size: int


def after(size: int) -> object:
    """Marks a field that begins `size` bytes after the one before it: `Annotated[U64, after(6)]`."""
    return _Gap(size)


def wide(size: int, *, signed: bool = False) -> Wire:
    """An integer of any number of bytes; a bitmap too, whose bit 0 is the lowest of the first byte."""
    return Wire(f"{size}s", partial(int.from_bytes, byteorder="little", signed=signed))


# The keys of a pool stay while its numbers change, and one costs as much to encode as a whole account to unpack.
_address = lru_cache(maxsize=4_096)(base58.encode)


def _flag(value: int) -> bool:
    if value > 1:
        raise ValueError(f"{value} is neither 0 nor 1")
    return value == 1


U8 = Annotated[int, Wire("B")]
U16 = Annotated[int, Wire("H")]
U32 = Annotated[int, Wire("I")]
U64 = Annotated[int, Wire("Q")]
U128 = Annotated[int, wide(16)]
U256 = Annotated[int, wide(32)]
I8 = Annotated[int, Wire("b")]
I16 = Annotated[int, Wire("h")]
I32 = Annotated[int, Wire("i")]
I64 = Annotated[int, Wire("q")]
I128 = Annotated[int, wide(16, signed=True)]
Flag = Annotated[bool, Wire("B", _flag)]
"""One byte, 0 or 1. An account with another value is refused."""
Pubkey = Annotated[str, Wire("32s", _address)]
"""An address, in base58."""
Bytes32 = Annotated[bytes, Wire("32s")]


class Table(Generic[RecordT]):
    """The fields of a record, packed, from the offset `begin` on. It takes `size` bytes, or as many as its fields."""

    def __init__(self, record: type[RecordT], begin: int = 0, size: int = 0) -> None:
        self._record = record
        self.spans: dict[str, tuple[int, int]] = {}  # begin and end of each field
        self._reads: list[tuple[int, str, Callable[[Any], object]]] = []
        formats = [f"<{begin}x"]
        for place, (name, hint) in enumerate(get_type_hints(record, include_extras=True).items()):
            gap, wire = _stored(name, hint)
            formats.append(f"{gap}x{wire.format}")
            end = calcsize("".join(formats))
            self.spans[name] = (end - calcsize(f"<{wire.format}"), end)
            if wire.read is not None:
                self._reads.append((place, name, wire.read))
        self._struct = Struct("".join(formats))
        self.size = size or self._struct.size
        if self._struct.size > self.size:
            raise ValueError(f"the fields of {record.__name__} take {self._struct.size} bytes, not {size}")

    def decode(self, data: bytes, at: int = 0) -> RecordT:
        """The record that begins at an offset of `data`, which is long enough. Raises `ValueError`, which names the
        invalid field."""
        values: list[object] = list(self._struct.unpack_from(data, at))
        for place, name, read in self._reads:
            try:
                values[place] = read(values[place])
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from error
        return self._record._make(values)


class Rows(Generic[RowT]):
    """Records of one kind, one behind the other. Each is decoded when it is requested: of the many bins or ticks of an
    array a swap needs few."""

    __slots__ = ("_count", "_data", "_table")

    def __init__(self, data: bytes, table: Table[RowT], count: int) -> None:
        self._data = data
        self._table = table
        self._count = count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> RowT:
        # No negative indexes: one that was computed wrongly must not find another row.
        if not 0 <= index < self._count:
            raise IndexError(f"there is no row {index} of {self._count}")
        return self._table.decode(self._data, index * self._table.size)

    def __iter__(self) -> Iterator[RowT]:
        return map(self.__getitem__, range(self._count))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Rows) and self._data == other._data and self._table is other._table

    def __hash__(self) -> int:
        return hash(self._data)


def rows(record: type[RowT], count: int, *, size: int = 0) -> Wire:
    """`count` records one behind the other: `Annotated[Rows[Bin], rows(Bin, 70, size=144)]`. Each takes `size` bytes,
    of which those after its last field are not read; 0: as many as its fields."""
    table = Table(record, size=size)
    return Wire(f"{table.size * count}s", lambda data: Rows(data, table, count))


def owned(kind: str, address: str, account: Account | None, owner: str) -> Account:
    """The account, if it belongs to the program `owner`. Raises `BadAnswer`, with the `kind` of account, for others."""
    if account is None:
        raise BadAnswer(f"there is no {kind} {address}")
    if account.owner != owner:
        raise BadAnswer(f"the {kind} {address} belongs to {account.owner}, not to the program {owner}")
    return account


class Layout(Generic[RecordT]):
    """The layout of one kind of account: `record` behind the discriminator (hex), in `size` bytes of data, `or_more`.

    `kind` is its name in messages. Raises `ValueError` for a table that does not fit.
    """

    def __init__(
        self, kind: str, record: type[RecordT], *, size: int, discriminator: str = "", or_more: bool = False
    ) -> None:
        self.kind = kind
        self.size = size
        self.discriminator = bytes.fromhex(discriminator)
        self._or_more = or_more
        table = Table(record, len(self.discriminator), size)
        self._spans = table.spans
        # By content, so it does not matter which object of the same bytes arrives. Errors are not kept.
        self._decode = lru_cache(maxsize=MOST_DECODED)(table.decode)

    def read(self, address: str, account: Account | None, *, owner: str) -> RecordT:
        """The fields of an account that belongs to the program `owner`. Raises `BadAnswer` for any other account."""
        # The owner first: only the owning program can have written the bytes, so nothing before this check is reliable.
        account = owned(self.kind, address, account, owner)
        prefix = account.data[: len(self.discriminator)]
        if prefix != self.discriminator:
            found = prefix.hex() or "missing"
            raise BadAnswer(f"the account {address} is not a {self.kind}: its discriminator is {found}")
        size = len(account.data)
        if size < self.size or (size > self.size and not self._or_more):
            at_least = "at least " if self._or_more else ""
            raise BadAnswer(f"the {self.kind} {address} has {size} bytes instead of {at_least}{self.size}")
        try:
            return self._decode(account.data)
        except ValueError as error:
            raise BadAnswer(f"the {self.kind} {address}: {error}") from error

    def offset(self, field: str) -> int:
        """Where a field begins."""
        return self._spans[field][0]

    def filters(self, **fields: bytes) -> AccountFilters:
        """The search for accounts of this kind with these bytes in the named fields. Raises `ValueError` for a field of
        another size, and for a layout without a fixed size."""
        if self._or_more:
            raise ValueError(f"a {self.kind} has no fixed size to search by")
        matches = [(0, self.discriminator)] if self.discriminator else []
        for name, wanted in fields.items():
            begin, end = self._spans[name]
            if len(wanted) != end - begin:
                raise ValueError(f"{name} of a {self.kind} has {end - begin} bytes, not {len(wanted)}")
            matches.append((begin, wanted))
        return AccountFilters(self.size, tuple(matches))


def _stored(name: str, hint: object) -> tuple[int, Wire]:
    """The gap before a field, and how it is stored. Raises `TypeError` for a field that has none of these types."""
    origin, *marks = get_args(hint) if get_origin(hint) is Annotated else (hint,)
    gap = sum(mark.size for mark in marks if isinstance(mark, _Gap))
    wires = [mark for mark in marks if isinstance(mark, Wire)]
    # A record in a record is a part of the table: `fee: FeeInfo`.
    if not wires and isinstance(origin, type) and issubclass(origin, tuple):
        table: Table[Any] = Table(origin)
        wires = [Wire(f"{table.size}s", table.decode)]
    if len(wires) != 1:
        raise TypeError(f"{name} has no type of a layout, but {hint!r}")
    return gap, wires[0]
