"""A program of the upgradeable loader as plain accounts, and nodes that show it."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from dexexec.domain import base58
from dexexec.domain.solana import Account, Accounts
from dexexec.settlement.solana.warm.programs import Loader
from dexexec.venue import VenueError
from tests.support.swap_transactions import address

PROGRAM = address("deployed program")
DATA = address("its code")
AUTHORITY = address("its authority")
ELF = b"\x7fELF code"


def pointer(code: str = DATA) -> Account:
    """The program's account."""
    return Account(Loader.UPGRADEABLE, 1, b"\x02\0\0\0" + base58.decode(code))


def data_account(elf: bytes = ELF, slot: int = 1, authority: str | None = AUTHORITY) -> Account:
    """The account with its code, as deployed in `slot`."""
    upgrader = b"\0" + bytes(32) if authority is None else b"\x01" + base58.decode(authority)
    return Account(Loader.UPGRADEABLE, 1, b"\x03\0\0\0" + slot.to_bytes(8, "little") + upgrader + elf)


CODE = data_account().data


@dataclass
class ShownPrograms:
    """Nodes by name with the accounts that each shows; None: it does not answer. The first is the preferred one."""

    nodes: dict[str, dict[str, Account] | VenueError] = field(default_factory=dict)
    requests: list[tuple[str, ...]] = field(default_factory=list)

    @property
    def node_count(self) -> int:
        return len(self.nodes)

    async def accounts_everywhere(self, addresses: Sequence[str]) -> dict[str, Accounts]:
        self.requests.append(("everywhere", *addresses))
        answers = {name: node for name, node in self.nodes.items() if not isinstance(node, VenueError)}
        if not answers:
            raise next(node for node in self.nodes.values() if isinstance(node, VenueError))
        return {name: Accounts(1, tuple(map(node.get, addresses))) for name, node in answers.items()}

    async def account_heads(self, addresses: Sequence[str], size: int) -> Accounts:
        self.requests.append(("heads", *addresses))
        [node, *_] = self.nodes.values()
        if isinstance(node, VenueError):
            raise node
        found = map(node.get, addresses)
        return Accounts(1, tuple(replace(one, data=one.data[:size]) if one else None for one in found))


def deployed(elf: bytes = ELF, slot: int = 1) -> dict[str, Account]:
    """A node that shows the program."""
    return {PROGRAM: pointer(), DATA: data_account(elf, slot)}
