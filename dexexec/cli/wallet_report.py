"""Creates a wallet, or reports its address, cluster and balances, for `python -m dexexec wallet`.

The report is about the wallet that the worker signs with: the one of SOLANA_WALLET_SECRET_KEY, or on a localnet the one
in the data folder. The key is only used to derive the address. The exit code is 0 if the wallet can pay for a swap,
else 1.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TextIO, cast

from rich.console import Console
from rich.table import Table
from rich.text import Text

from dexexec.bootstrap.background import running
from dexexec.bootstrap.clusters import wallet_fault
from dexexec.bootstrap.localnet import default_url
from dexexec.bootstrap.networks import Networks, Purpose, open_networks
from dexexec.cli.quote_table import write_aligned
from dexexec.clock import Clock, SystemClock
from dexexec.config.settings import Settings
from dexexec.config.wallets import DEFAULT
from dexexec.domain.solana import TokenBalance
from dexexec.domain.token import WSOL, Token, Tokens, from_base_units
from dexexec.errors import StartupError, install_hint
from dexexec.observe.observer import Observer
from dexexec.settlement.simulated.ledger import MemoryLedger
from dexexec.settlement.solana.message import SIGNATURE_FEE
from dexexec.settlement.solana.token_account import SIZE
from dexexec.venue import Network, VenueError
from dexexec.venues import registry

if TYPE_CHECKING:
    from dexexec.settlement.solana.rpc import RpcChain

WALLET_FILE = "wallet.json"
"""The file in the data folder. The wallet for localnets has another file."""
LAMPORTS = Token(WSOL, "SOL", 9)


@dataclass(frozen=True, slots=True, kw_only=True)
class Holdings:
    """The balances of a wallet. `needed` are the lamports that a swap may need: its fee, the rent of a new token
    account, and the minimum balance of the wallet. `fault` is the reason why it cannot pay at all, or empty; `lacking`
    are sentences about what orders may need in addition."""

    name: str
    address: str
    cluster: str
    lamports: int
    accounts: tuple[TokenBalance, ...]
    needed: int = 0
    fault: str = ""
    lacking: tuple[str, ...] = ()

    @property
    def can_pay(self) -> bool:
        """Whether the wallet can pay for a swap. On a localnet it always can, since the mocks fund it."""
        return self.cluster == Network.LOCALNET or (not self.fault and self.lamports >= self.needed)

    @property
    def verdict(self) -> str:
        """The sentence for a wallet that lacks nothing."""
        empty = self.cluster == Network.LOCALNET and not self.lamports
        return "The wallet may be empty: the mocks fund it at the first swap." if empty else "Lacks nothing to trade."

    def totals(self) -> dict[str, tuple[int, int]]:
        """By mint: the base units in all accounts together, and the decimals. SOL includes wrapped SOL."""
        totals = {WSOL: (self.lamports, LAMPORTS.decimals)}
        for account in self.accounts:
            totals[account.mint] = (totals.get(account.mint, (0, 0))[0] + account.amount, account.decimals)
        return totals


async def create_wallet(settings: Settings, out: TextIO) -> int:
    """Create a wallet in the data folder and print its path; the exit code. Raises `StartupError`."""
    try:
        from dexexec.settlement.solana.wallet import Wallet  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise StartupError(f"a wallet needs the solana extra: {install_hint('solana')}") from error
    path = settings.data_folder().absolute() / WALLET_FILE
    wallet = Wallet.new(path)
    lines = (("Wallet", wallet.address), ("File", str(path)), ("Setting", f"SOLANA_WALLET_SECRET_KEY=file:{path}"))
    write_aligned(lines, out)
    return 0


async def run(
    settings: Settings,
    environ: Mapping[str, str],
    observer: Observer,
    out: TextIO,
    *,
    as_json: bool = False,
    clock: Clock | None = None,
) -> int:
    """Read the balances and print them; the exit code. Raises `StartupError` when there is no wallet, its key is
    invalid, or no node answers."""
    clock = clock or SystemClock()
    opened = open_networks(
        settings,
        _networks(settings, environ),
        ledger=MemoryLedger(clock),
        localnet_url=settings.localnet_url or default_url(),
        clock=clock,
        observer=observer,
        purpose=Purpose.LOOK,
    )
    async with opened as networks, running(networks.background):
        wallets = [
            await _read_holdings(networks, network, settings, name)
            for name in (None, *networks.named)
            for network in networks.of(name).wallets
        ]
    tokens = settings.token_list()
    if as_json:
        out.write(json.dumps({"wallets": [_as_json(wallet, tokens) for wallet in wallets]}, indent=2) + "\n")
    else:
        for place, wallet in enumerate(wallets):
            out.write("\n" if place else "")
            _write(wallet, tokens, out, named=len(wallets) > 1)
    return 0 if all(wallet.can_pay for wallet in wallets) else 1


def _networks(settings: Settings, environ: Mapping[str, str]) -> frozenset[str]:
    """The networks of the enabled venues that have wallets; without any, the cluster of SOLANA_RPC_URL."""
    needed = registry.networks(registry.load(settings.adapters), environ) & {Network.LOCALNET, Network.SOLANA}
    if needed:
        return needed
    has_wallet = settings.has_wallet_key() or DEFAULT in settings.named_wallets()
    if settings.solana_rpc_url and has_wallet:
        return frozenset({Network.SOLANA})
    raise StartupError(
        "the enabled venues settle on a simulated chain, which needs no wallet: enable others with DEXEXEC_ADAPTERS, or"
        " set SOLANA_RPC_URL and SOLANA_WALLET_SECRET_KEY"
    )


async def _read_holdings(networks: Networks, network: str, settings: Settings, name: str | None) -> Holdings:
    chain = cast("RpcChain", networks.chains[network])
    address = networks.of(name).wallets[network]
    cluster = networks.clusters[network]
    try:
        [account] = (await chain.accounts([address])).found
        accounts = tuple(await chain.token_accounts(address))
    except VenueError as error:
        raise StartupError(f"the balances of wallet {address} cannot be read: {error}") from error
    lamports = account.lamports if account else 0
    named = cluster or "unknown (none of Solana's own)"
    if network == Network.LOCALNET:  # coins are free there, so nothing is lacking
        return Holdings(name=name or DEFAULT, address=address, cluster=named, lamports=lamports, accounts=accounts)
    try:
        rent = await chain.rent()
    except VenueError as error:
        raise StartupError(f"the rent of the cluster cannot be read: {error}") from error
    holdings = Holdings(
        name=name or DEFAULT,
        address=address,
        cluster=named,
        lamports=lamports,
        accounts=accounts,
        needed=SIGNATURE_FEE + rent.exempt(SIZE) + rent.wallet,
        fault=wallet_fault(account, cluster or "the node's cluster"),
    )
    return replace(holdings, lacking=_lacks(holdings, settings))


def _lacks(holdings: Holdings, settings: Settings) -> tuple[str, ...]:
    if holdings.fault:
        return (f"The wallet {holdings.fault}.",)
    lacking = []
    if holdings.lamports < holdings.needed:
        least = f"At least {_sol(holdings.needed)} SOL"
        lacking.append(f"{least}: a swap's fee, the rent of a new token account and the minimum balance.")
    totals = holdings.totals()
    tokens = settings.token_list()
    # A `buy` order spends the first token of the default pair, a `sell` order the second.
    for side, mint in zip(("buy", "sell"), settings.default_pair(), strict=True):
        if not totals.get(mint, (0, 0))[0]:
            lacking.append(f"{_symbol(mint, tokens)}: what `{side}` orders spend by default.")
    return tuple(lacking)


def _as_json(holdings: Holdings, tokens: Tokens) -> dict[str, object]:
    return {
        "name": holdings.name,
        "address": holdings.address,
        "cluster": holdings.cluster,
        "lamports": str(holdings.lamports),
        "tokenAccounts": [
            {
                "address": account.address,
                "mint": account.mint,
                "symbol": _known(account.mint, tokens),
                "amount": str(account.amount),
            }
            | {"decimals": account.decimals}
            for account in holdings.accounts
        ],
        "totals": [
            {"mint": mint, "symbol": _known(mint, tokens), "amount": str(amount), "decimals": decimals}
            for mint, (amount, decimals) in holdings.totals().items()
        ],
        "lacking": list(holdings.lacking),
    }


def _write(holdings: Holdings, tokens: Tokens, out: TextIO, *, named: bool) -> None:
    name = [("Name", holdings.name)] if named else []
    head = [*name, ("Wallet", holdings.address), ("Cluster", holdings.cluster), ("SOL", _sol(holdings.lamports))]
    held = [
        (_symbol(account.mint, tokens), from_base_units(account.amount, account.decimals), account.address)
        for account in holdings.accounts
    ]
    totals = [
        (_symbol(mint, tokens), from_base_units(amount, decimals))
        for mint, (amount, decimals) in holdings.totals().items()
    ]
    console = Console(file=out, highlight=False)
    if out.isatty() and console.is_terminal and not console.is_dumb_terminal:
        for label, value in head:
            console.print(Text(f"{label:<10}", style="dim").append(value, style="not dim bold"), soft_wrap=True)
        if held:
            for table in (_table(("Token", "Amount", "Account"), held), _table(("In all", "Amount"), totals)):
                console.print()
                console.print(table)
        for sentence in holdings.lacking:
            console.print(Text(f"\nLacking   {sentence}", style="yellow"))
        if not holdings.lacking:
            console.print(Text(f"\n{holdings.verdict}", style="green"))
        return
    write_aligned(head, out)
    if held:
        out.write("\n")
        write_aligned([("TOKEN", "AMOUNT", "ACCOUNT"), *held], out)
        out.write("\n")
        write_aligned([("IN ALL", "AMOUNT"), *totals], out)
    out.write("\n")
    out.writelines(f"Lacking  {sentence}\n" for sentence in holdings.lacking)
    if not holdings.lacking:
        out.write(f"{holdings.verdict}\n")


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for name in head:
        table.add_column(name, justify="right" if name == "Amount" else "left", overflow="fold")
    for row in rows:
        table.add_row(*row)
    return table


def _sol(lamports: int) -> str:
    return from_base_units(lamports, LAMPORTS.decimals)


def _known(mint: str, tokens: Tokens) -> str | None:
    token = tokens.get(mint)
    return token.symbol if token else None


def _symbol(mint: str, tokens: Tokens) -> str:
    return _known(mint, tokens) or mint
