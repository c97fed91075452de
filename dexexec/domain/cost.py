"""What attempts on the chain cost their orders: exact integers in base units, never converted into another currency.

Settlement reads the network's part from the transaction, and the proof of each attempt's outcome keeps all of it
(`AttemptCost`). `CostSum` adds attempts up, for one order or for many.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from dexexec.domain.network_cost import NetworkCost
from dexexec.domain.quote import Fill, Mode, SwapRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptCost:
    """The cost of one attempt that is on the chain. `fee` is lamports; `network` has its parts and the rent, None if
    they are not known.

    Only a swap that `landed` pays its venue and has a slippage. `venue_fee` is that of the quote which the transaction
    was built from, already inside the amounts. `slippage` counts `slippage_mint`, less received or more spent than the
    order's first quote, and `venue_slippage` the same against the quote of the transaction; negative when better.
    """

    landed: bool
    fee: int
    network: NetworkCost | None = None
    venue_fee: int | None = None
    venue_fee_mint: str | None = None
    slippage_mint: str | None = None
    slippage: int | None = None
    venue_slippage: int | None = None

    @classmethod
    def of_fill(
        cls, fill: Fill, swap: SwapRequest, quoted: Mapping[str, object], first_quote: tuple[int, int] | None
    ) -> "AttemptCost":
        """The cost of a fill. `quoted` is the quote of its transaction as JSON values, empty if that is not known, and
        `first_quote` has the amounts (in and out) of the order's first acceptable quote."""
        cost = cls(landed=True, fee=fill.fee, network=fill.cost)
        if "fee" in quoted:
            cost = replace(cost, venue_fee=int(str(quoted["fee"])), venue_fee_mint=str(quoted["feeMint"]))
        if not quoted:
            return cost
        built_from = int(str(quoted["amountIn"])), int(str(quoted["amountOut"]))
        return replace(
            cost,
            slippage_mint=swap.mint_out if swap.mode is Mode.EXACT_IN else swap.mint_in,
            slippage=_loss(swap.mode, fill, first_quote or built_from),
            venue_slippage=_loss(swap.mode, fill, built_from),
        )

    @classmethod
    def of_failure(cls, fee: int, network: NetworkCost | None) -> "AttemptCost":
        """The cost of an attempt that failed on chain: its fee. Everything else of it was undone."""
        return cls(landed=False, fee=fee, network=network)

    def detail(self) -> dict[str, object]:
        """The JSON values that are stored; what is not known is absent."""
        values: dict[str, object] = {"fee": self.fee}
        if self.network is not None:
            values |= {
                "baseFee": self.network.base_fee,
                "priorityFee": self.network.priority_fee,
                "tip": self.network.tip,
            }
            values |= {"rentPaid": self.network.rent_paid, "rentReturned": self.network.rent_returned}
        values |= {"venueFee": self.venue_fee, "venueFeeMint": self.venue_fee_mint}
        values |= {"slippage": self.slippage, "venueSlippage": self.venue_slippage, "slippageMint": self.slippage_mint}
        return {name: str(value) for name, value in values.items() if value is not None}

    @classmethod
    def of(cls, detail: Mapping[str, object], *, landed: bool) -> "AttemptCost":
        """Inverse of `detail`."""
        network = None
        if "baseFee" in detail:
            network = NetworkCost(
                base_fee=int(str(detail["baseFee"])),
                priority_fee=int(str(detail["priorityFee"])),
                rent_paid=int(str(detail["rentPaid"])),
                rent_returned=int(str(detail["rentReturned"])),
                tip=int(str(detail.get("tip", 0))),
            )
        return cls(
            landed=landed,
            fee=int(str(detail["fee"])),
            network=network,
            venue_fee=_number(detail.get("venueFee")),
            venue_fee_mint=_text(detail.get("venueFeeMint")),
            slippage_mint=_text(detail.get("slippageMint")),
            slippage=_number(detail.get("slippage")),
            venue_slippage=_number(detail.get("venueSlippage")),
        )


@dataclass(slots=True)
class MintSum:
    """Sums of one mint, in its base units."""

    venue_fees: int = 0
    slippage: int = 0
    venue_slippage: int = 0


@dataclass(slots=True, kw_only=True)
class CostSum:
    """The sum of attempts: `swaps` that landed and `failed_attempts`. Fees, tips and rent are lamports; `failed_fees`
    is the part of `fees` that failed attempts paid.

    `split_unknown`, `rent_unknown` and `quote_unknown` count attempts whose parts of the fee, rent, and quote are not
    recorded: they are missing in the sums of these.
    """

    swaps: int = 0
    failed_attempts: int = 0
    fees: int = 0
    base_fees: int = 0
    priority_fees: int = 0
    failed_fees: int = 0
    tips: int = 0
    rent_paid: int = 0
    rent_returned: int = 0
    split_unknown: int = 0
    rent_unknown: int = 0
    quote_unknown: int = 0
    mints: dict[str, MintSum] = field(default_factory=dict)

    def add(self, cost: AttemptCost) -> None:
        """Add one attempt."""
        self.fees += cost.fee
        if cost.landed:
            self.swaps += 1
        else:
            self.failed_attempts += 1
            self.failed_fees += cost.fee
        if cost.network is not None:
            self.base_fees += cost.network.base_fee
            self.priority_fees += cost.network.priority_fee
            self.tips += cost.network.tip
            self.rent_paid += cost.network.rent_paid
            self.rent_returned += cost.network.rent_returned
        else:
            self.split_unknown += 1
            # A failed transaction pays no rent, so nothing is missing there.
            self.rent_unknown += cost.landed
        if cost.venue_fee is not None and cost.venue_fee_mint is not None:
            self.mint(cost.venue_fee_mint).venue_fees += cost.venue_fee
        if cost.slippage_mint is not None:
            of_mint = self.mint(cost.slippage_mint)
            of_mint.slippage += cost.slippage or 0
            of_mint.venue_slippage += cost.venue_slippage or 0
        elif cost.landed:
            self.quote_unknown += 1

    def mint(self, mint: str) -> MintSum:
        """The sums of a mint."""
        return self.mints.setdefault(mint, MintSum())

    def detail(self) -> dict[str, object]:
        """The sums as JSON values. Amounts are strings, since they can exceed what a JSON number holds exactly."""
        return {
            "swaps": self.swaps,
            "failedAttempts": self.failed_attempts,
            "fees": str(self.fees),
            "baseFees": str(self.base_fees),
            "priorityFees": str(self.priority_fees),
            "failedFees": str(self.failed_fees),
            "tips": str(self.tips),
            "rentPaid": str(self.rent_paid),
            "rentReturned": str(self.rent_returned),
            "lamports": str(self.fees + self.tips + self.rent_paid - self.rent_returned),
            "unknown": {"feeParts": self.split_unknown, "rent": self.rent_unknown, "quotes": self.quote_unknown},
            "mints": [
                {
                    "mint": mint,
                    "venueFees": str(of_mint.venue_fees),
                    "slippage": str(of_mint.slippage),
                    "venueSlippage": str(of_mint.venue_slippage),
                }
                for mint, of_mint in sorted(self.mints.items())
            ],
        }


def _loss(mode: Mode, fill: Fill, quoted: tuple[int, int]) -> int:
    """By how many base units a fill is worse than quoted."""
    return quoted[1] - fill.amount_out if mode is Mode.EXACT_IN else fill.amount_in - quoted[0]


def _number(value: object) -> int | None:
    return None if value is None else int(str(value))


def _text(value: object) -> str | None:
    return None if value is None else str(value)
