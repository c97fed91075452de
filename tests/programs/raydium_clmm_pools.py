"""Pools of Raydium's CLMM program, made by the program itself: `create_pool` and `open_position_with_token22_nft`.

Only what an administrator of Raydium makes is written as bytes here: configs.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from struct import pack

from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from dexexec.domain.token import Token
from dexexec_adapters.solana.spl import ASSOCIATED_TOKEN, SYSTEM, TOKEN, TOKEN_2022
from tests.programs import dumps
from tests.programs.direct import Direct
from tests.programs.tokens import key

PROGRAM = key(dumps.PROGRAMS["raydium-clmm"])
RENT = key("SysvarRent111111111111111111111111111111111")
CONFIG = bytes.fromhex("daf42168cbcb2b6f")
MOST = 2**64 - 1
COUNTERS = range(1032, 1064)
"""Where an older pool counts its fees (`states/pool.rs`)."""


@dataclass(frozen=True, slots=True)
class Config:
    """A config: its index, its rates in millionths, and the spacing of its pools' ticks."""

    index: int
    trade: int
    spacing: int
    protocol: int = 120_000
    fund: int = 40_000

    @property
    def address(self) -> Pubkey:
        return derived(b"amm_config", self.index.to_bytes(2, "big"))

    def put(self, direct: Direct) -> None:
        """Write it as `states/config.rs` lays it out."""
        owner = bytes(Pubkey.new_unique())
        rates = pack("<IIHII", self.protocol, self.trade, self.spacing, self.fund, 0)
        direct.put(self.address, PROGRAM, CONFIG + pack("<BH", 255, self.index) + owner + rates + owner + bytes(24))


@dataclass(frozen=True, slots=True)
class ClmmMade:
    """A pool that the program made. Tokens are in its order."""

    address: Pubkey
    config: Config
    tokens: tuple[Token, Token]

    @property
    def vaults(self) -> tuple[Pubkey, Pubkey]:
        first, second = (derived(b"pool_vault", bytes(self.address), bytes(key(one.mint))) for one in self.tokens)
        return first, second

    @property
    def extension(self) -> Pubkey:
        return derived(b"pool_tick_array_bitmap_extension", bytes(self.address))

    def array(self, tick: int) -> tuple[int, Pubkey]:
        """The start and the address of the array that has a tick."""
        span = 60 * self.config.spacing
        start = tick // span * span
        return start, derived(b"tick_array", bytes(self.address), start.to_bytes(4, "big", signed=True))


def derived(*seeds: bytes) -> Pubkey:
    """An address of the program."""
    return Pubkey.find_program_address(list(seeds), PROGRAM)[0]


def create_pool(direct: Direct, config: Config, tokens: Sequence[Token], sqrt_price: int) -> ClmmMade:
    """Let the program make a pool without liquidity."""
    first, second = sorted(tokens, key=lambda token: bytes(key(token.mint)))
    mints = [bytes(key(token.mint)) for token in (first, second)]
    made = ClmmMade(derived(b"pool", bytes(config.address), *mints), config, (first, second))
    metas = [
        _signer(direct.trader.pubkey()),
        _read(config.address),
        _written(made.address),
        *(_read(key(token.mint)) for token in made.tokens),
        *map(_written, made.vaults),
        _written(derived(b"observation", bytes(made.address))),
        _written(made.extension),
        *(_read(key(direct.program_of(token.mint))) for token in made.tokens),
        _read(key(SYSTEM)),
        _read(RENT),
    ]
    direct.send(
        [Instruction(PROGRAM, _tag("create_pool") + pack("<QQQ", sqrt_price % 2**64, sqrt_price >> 64, 0), metas)]
    )
    return made


def open_position(direct: Direct, pool: ClmmMade, lower: int, upper: int, liquidity: int) -> None:
    """Let the program add liquidity between two ticks, which are multiples of the spacing."""
    nft = Keypair()
    trader = direct.trader.pubkey()
    for token in pool.tokens:
        direct.hold(direct.account_of(token.mint), token.mint, trader, MOST)
    held, _ = Pubkey.find_program_address(
        [bytes(trader), bytes(key(TOKEN_2022)), bytes(nft.pubkey())], key(ASSOCIATED_TOKEN)
    )
    arrays = [pool.array(lower), pool.array(upper)]
    position = derived(b"position", bytes(nft.pubkey()))
    metas = [
        _signer(trader),
        _read(trader),
        _signer(nft.pubkey()),
        _written(held),
        _written(pool.address),
        _read(pool.address),
        *(_written(address) for _, address in arrays),
        _written(position),
        *(_written(direct.account_of(token.mint)) for token in pool.tokens),
        *map(_written, pool.vaults),
        *map(_read, (RENT, key(SYSTEM), key(TOKEN), key(ASSOCIATED_TOKEN), key(TOKEN_2022))),
        *(_read(key(token.mint)) for token in pool.tokens),
        _written(pool.extension),
    ]
    ticks = pack("<4i", lower, upper, arrays[0][0], arrays[1][0])
    amounts = pack("<QQQQ", liquidity % 2**64, liquidity >> 64, MOST, MOST)
    data = _tag("open_position_with_token22_nft") + ticks + amounts + b"\0\0"
    direct.send([Instruction(PROGRAM, data, metas)], nft)


def forget_counters(direct: Direct, pool: ClmmMade) -> None:
    """Set what the pool counted of its fees to 0. Older builds add up the fees of all swaps in 64 bits, and fail
    beyond: no pool gets there, but many swaps of any size do."""
    data = direct.data(pool.address)
    direct.put(pool.address, PROGRAM, data[: COUNTERS.start] + bytes(len(COUNTERS)) + data[COUNTERS.stop :])


def _tag(name: str) -> bytes:
    return sha256(f"global:{name}".encode()).digest()[:8]


def _signer(address: Pubkey) -> AccountMeta:
    return AccountMeta(address, is_signer=True, is_writable=True)


def _written(address: Pubkey) -> AccountMeta:
    return AccountMeta(address, is_signer=False, is_writable=True)


def _read(address: Pubkey) -> AccountMeta:
    return AccountMeta(address, is_signer=False, is_writable=False)
