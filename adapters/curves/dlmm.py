"""Meteora DLMM: the swap arithmetic over bins of constant price.

It follows MeteoraAg/dlmm-sdk at commit fb02e51, `commons/src/quote.rs`. A swap begins at the pool's active bin and
takes bin after bin; every amount and fee is rounded in each. Token A is the pool's X, token B its Y. Token-2022
transfer fees are outside the curve.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from math import sqrt
from typing import NamedTuple

from dexexec.domain.depth import Stretch, constant
from dexexec_adapters.curves.dlmm_bins import (
    BINS_PER_ARRAY,
    NOTHING,
    ArrayMap,
    Bin,
    Layers,
    bought,
    cost_of,
    ids_of,
    is_outer,
    price_of,
)
from dexexec_adapters.curves.dlmm_fees import BASIS_POINTS, FEE_PRECISION, DlmmFee, DlmmVolatility
from dexexec_adapters.curves.integers import U64_MAX, ceil_div, ppm
from dexexec_adapters.curves.stretches import MOST_STRETCHES
from dexexec_adapters.curves.swap import (
    ChainTime,
    CurveError,
    MissingArray,
    Refusal,
    SwapResult,
    TradeDirection,
    check_amount,
    check_fits,
    check_output,
)

# Values of `DlmmPool.collect_fee_mode`.
ON_INPUT = 0
ONLY_Y = 1

# Values of `DlmmPool.pair_type`. Pools of the types 1 and 2 have an activation point.
PAIR_TYPES = (0, 1, 2, 3)
ACTIVATED_TYPES = (1, 2)

# Values of `DlmmPool.activation_type`: the unit of `activation_point`.
BY_SLOT = 0
BY_TIMESTAMP = 1

ORDERS_SHARE = 5_000
"""The part of the fee for a limit order's fill that its owner gets, in basis points. The protocol gets the rest."""
MAX_BINS = {(False, False): 220, (True, False): 185, (False, True): 165, (True, True): 145}
"""Bins that a swap takes at most, by whether its output is exact and whether there are limit orders. A bin costs from
5,400 to 8,200 of the 1,400,000 compute units of a transaction (measured), so a swap of more bins could not land."""
AHEAD = 4
"""How many arrays are requested at once when one is missing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DlmmPool:
    """The parts of a pool that a swap reads or writes. Amounts are base units.

    `arrays` has the bins of the arrays that were read, by the array's index; `marked` are all that have liquidity.
    Limit orders in the bins count only `with_orders`. `protocol_x` and `protocol_y` are what the protocol has earned.
    """

    fee: DlmmFee
    volatility: DlmmVolatility
    active_id: int
    marked: ArrayMap
    arrays: Mapping[int, Sequence[Bin]] = field(default_factory=dict)
    collect_fee_mode: int = ON_INPUT
    with_orders: bool = False
    protocol_x: int = 0
    protocol_y: int = 0
    pair_type: int = 0
    status: int = 0
    activation_type: int = BY_SLOT
    activation_point: int = 0


class _Fill(NamedTuple):
    """What a swap takes from one bin: `paid` and `got` with all fees, `net_in` and `gross_out` without any.

    `layers` are the parts of `gross_out`, `reserve_in` is the part of `net_in` for the first of them, and `surplus` is
    what the bin gives above a wanted output.
    """

    paid: int
    got: int
    fee: int
    net_in: int
    gross_out: int
    reserve_in: int
    layers: Layers
    surplus: int = 0


def quote_exact_in(pool: DlmmPool, amount_in: int, direction: TradeDirection, now: ChainTime) -> SwapResult[DlmmPool]:
    """Price a swap that pays exactly `amount_in`.

    Raises `CurveError` when the pool would refuse it, `MissingArray` when it needs bins that were not read.
    """
    check_amount("amount_in", amount_in)
    swap = _Swap(pool, direction, now, exact_out=False)
    left = amount_in
    for layers in swap.bins():
        left -= swap.take(swap.fill_in(layers, left)).paid
        if not left:
            break
    return swap.result()


def quote_exact_out(pool: DlmmPool, amount_out: int, direction: TradeDirection, now: ChainTime) -> SwapResult[DlmmPool]:
    """Price a swap that receives exactly `amount_out`.

    Raises `CurveError` when the pool would refuse it, `MissingArray` when it needs bins that were not read.
    """
    check_amount("amount_out", amount_out)
    swap = _Swap(pool, direction, now, exact_out=True)
    left = amount_out
    for layers in swap.bins():
        left -= swap.take(swap.fill_out(layers, left)).got
        if not left:
            break
    return swap.result()


def stretches(pool: DlmmPool, direction: TradeDirection, now: ChainTime) -> tuple[Stretch, ...]:
    """How the price moves, fees included, as far as the bins were read. Raises `CurveError` for a closed pool."""
    swap = _Swap(pool, direction, now, exact_out=False)
    found: list[Stretch] = []
    # A division that reaches further is priced by the pool itself, which reads more or refuses.
    with suppress(CurveError, MissingArray):
        for layers in swap.bins():
            fill = swap.take(swap.fill_in(layers, U64_MAX))
            if fill.got > 0:
                found.append(constant(sqrt(fill.got / fill.paid), float(fill.paid)))
            if len(found) == MOST_STRETCHES:
                break
    return tuple(found)


def arrays_ahead(pool: DlmmPool, count: int, *, a_to_b: bool) -> list[int]:
    """The indexes of the first `count` arrays that a swap in this direction may need."""
    return _from(pool.marked, pool.active_id // BINS_PER_ARRAY, a_to_b, count)


def _from(marked: ArrayMap, first: int, x_to_y: bool, count: int) -> list[int]:
    found: list[int] = []
    index = marked.next(first, x_to_y)
    while index is not None and len(found) < count:
        found.append(index)
        index = marked.next(index - 1 if x_to_y else index + 1, x_to_y)
    return found


class _Swap:
    """A swap on its way through the bins."""

    def __init__(self, pool: DlmmPool, direction: TradeDirection, now: ChainTime, *, exact_out: bool) -> None:
        _check_open(pool, now)
        self._pool = pool
        self._now = now
        self._x_to_y = direction is TradeDirection.A_TO_B
        self._fee_on_input = not (self._x_to_y and pool.collect_fee_mode == ONLY_Y)
        self._volatility = pool.volatility.at_swap(pool.fee, pool.active_id, now.unix_timestamp)
        self._max_bins = MAX_BINS[exact_out, pool.with_orders]
        self._visited: list[int] = []
        self._taken: list[tuple[int, _Fill]] = []
        # Price and rate of the first bin, and what belongs to the one that the swap is in.
        self._first = 0, 0
        self._bin_id = pool.active_id
        self._price = 0
        self._accumulator = -1
        self._rate = 0

    def bins(self) -> Iterator[Layers]:
        """What the bins give that have something to give, in the order of the swap. Ends with a `CurveError` after the
        last one."""
        pool = self._pool
        x_to_y = self._x_to_y
        index = pool.active_id // BINS_PER_ARRAY
        while (found := pool.marked.next(index, x_to_y)) is not None:
            bins = pool.arrays.get(found)
            if bins is None:
                raise MissingArray(_from(pool.marked, found, x_to_y, AHEAD))
            self._visited.append(found)
            low = found * BINS_PER_ARRAY
            for bin_id in ids_of(found, pool.active_id, x_to_y):
                one = bins[bin_id - low]
                layers = one.layers(x_to_y, pool.with_orders)
                if layers != NOTHING:
                    self._enter(bin_id, one)
                    yield layers
            index = found - 1 if x_to_y else found + 1
        raise CurveError(Refusal.INSUFFICIENT_LIQUIDITY, "the amount is more than the pool's bins hold")

    def fill_in(self, layers: Layers, left: int) -> _Fill:
        """What `left` takes from the current bin."""
        fee = 0
        net = left
        if self._fee_on_input:
            fee = -(-left * self._rate // FEE_PRECISION)
            net -= fee
        used, taken, reserve_in = self._trade(layers, net)
        paid = left
        if used < net:
            # The bin is empty now: the fee is added to what the bin costs, which may round otherwise.
            if self._fee_on_input:
                fee = self._fee_on_top(used)
            paid = used + fee
        out = sum(taken)
        if not self._fee_on_input:
            fee = -(-out * self._rate // FEE_PRECISION)
            return _Fill(paid, out - fee, fee, paid, out, reserve_in, taken)
        return _Fill(paid, out, fee, paid - fee, out, reserve_in, taken)

    def fill_out(self, layers: Layers, left: int) -> _Fill:
        """What is taken from the current bin for an output of `left`."""
        gross = left if self._fee_on_input else left + self._fee_on_top(left)
        if gross >= sum(layers):
            return self.fill_in(layers, U64_MAX)
        net = 0
        rest = gross
        for layer in layers:
            part = min(rest, layer)
            net += cost_of(part, self._price, self._x_to_y)
            rest -= part
        # Builds of the program round this sum in different ways, and one of them then fails.
        if net != cost_of(gross, self._price, self._x_to_y):
            raise CurveError(
                Refusal.UNSUPPORTED,
                f"an output that ends in the limit orders of bin {self._bin_id} with a rest is not supported",
            )
        paid = net + self._fee_on_top(net) if self._fee_on_input else net
        # The program computes the swap forward again.
        forward = self.fill_in(layers, paid)
        return forward._replace(got=left, surplus=forward.got - left)

    def take(self, fill: _Fill) -> _Fill:
        """Record what was taken from the current bin."""
        self._taken.append((self._bin_id, fill))
        return fill

    def _enter(self, bin_id: int, one: Bin) -> None:
        if len(self._taken) == self._max_bins:
            raise CurveError(
                Refusal.INSUFFICIENT_LIQUIDITY,
                f"the amount would take more than {self._max_bins} bins, which is more than a transaction can compute",
            )
        pool = self._pool
        self._bin_id = bin_id
        self._price = one.price or price_of(bin_id, pool.fee.bin_step)
        accumulator = self._volatility.in_bin(pool.fee, bin_id)
        # Far from where it began, the accumulator stays at its maximum, and so does the rate.
        if accumulator != self._accumulator:
            self._accumulator = accumulator
            self._rate = pool.fee.rate(accumulator)
        if not self._taken:
            self._first = self._price, self._rate

    def _fee_on_top(self, amount: int) -> int:
        return -(-amount * self._rate // (FEE_PRECISION - self._rate))

    def _trade(self, layers: Layers, net: int) -> tuple[int, Layers, int]:
        """What of `net` the current bin takes, what it gives of each layer, and what it takes for the first one."""
        price = self._price
        x_to_y = self._x_to_y
        reserve = layers[0]
        reserve_in = cost_of(reserve, price, x_to_y)
        if net < reserve_in:
            return net, (bought(net, price, x_to_y), 0, 0), net
        if layers[1:] == (0, 0):
            return reserve_in, (reserve, 0, 0), reserve_in
        left = net - reserve_in
        taken = [reserve, 0, 0]
        for place in (1, 2):
            # The program computes no cost for what the swap does not reach, so one that is too high is no error.
            if left and layers[place]:
                cost = cost_of(layers[place], price, x_to_y)
                taken[place] = layers[place] if left >= cost else bought(left, price, x_to_y)
                left -= min(left, cost)
        return net - left, (taken[0], taken[1], taken[2]), reserve_in

    def result(self) -> SwapResult[DlmmPool]:
        """The whole swap. Raises `CurveError` for one that gives nothing, or more than 64 bits hold."""
        fills = [fill for _, fill in self._taken]
        amount_in = sum(fill.paid for fill in fills)
        amount_out = sum(fill.got for fill in fills)
        fee = sum(fill.fee for fill in fills)
        check_fits("amount_in", amount_in)
        check_fits("amount_out", amount_out)
        check_output(amount_out)
        protocol_fee = sum(self._protocol_fee(fill) for fill in fills)
        return SwapResult(
            amount_in=amount_in,
            amount_out=amount_out,
            fee_in=fee if self._fee_on_input else 0,
            fee_out=0 if self._fee_on_input else fee,
            protocol_fee=protocol_fee,
            price_impact_ppm=self._impact(amount_in, amount_out),
            pool_after=self._pool_after(protocol_fee),
            arrays=self._arrays(),
        )

    def _arrays(self) -> tuple[int, ...]:
        """The arrays to name, in the order of the swap, with one more on each side.

        The program skips those that it does not need, and the price may have moved to a neighbour until then.
        """
        marked = self._pool.marked
        visited = self._visited
        before = visited[0] + 1 if self._x_to_y else visited[0] - 1
        beyond = visited[-1] - 1 if self._x_to_y else visited[-1] + 1
        around = (marked.next(before, not self._x_to_y), *visited, marked.next(beyond, self._x_to_y))
        arrays = tuple(index for index in around if index is not None)
        if is_outer(self._pool.active_id // BINS_PER_ARRAY) and not any(map(is_outer, arrays)):
            raise CurveError(
                Refusal.UNSUPPORTED,
                f"the active bin {self._pool.active_id} is far from all liquidity, which is not supported",
            )
        return arrays

    def _protocol_fee(self, fill: _Fill) -> int:
        if not fill.net_in:
            return fill.fee  # a rest of one unit that is all fee
        # The reserve's part of the fee is shared with the protocol as the pool says, that of limit orders by halves.
        reserve_fee = ceil_div(fill.fee * fill.reserve_in, fill.net_in)
        orders_fee = fill.fee - reserve_fee
        of_orders = orders_fee - orders_fee * ORDERS_SHARE // BASIS_POINTS
        surplus = 0 if self._fee_on_input else fill.surplus
        return of_orders + reserve_fee * self._pool.fee.protocol_share // BASIS_POINTS + surplus

    def _impact(self, amount_in: int, amount_out: int) -> int:
        """How much worse the swap is than at the price and the fee of its first bin: the fee rises with its size."""
        price, rate = self._first
        kept = FEE_PRECISION - rate
        if self._x_to_y:
            ideal, real = amount_in * price * kept, (amount_out << 64) * FEE_PRECISION
        else:
            ideal, real = (amount_in << 64) * kept, amount_out * price * FEE_PRECISION
        return max(ppm(ideal - real, ideal), 0)

    def _bin(self, bin_id: int) -> Bin:
        return self._pool.arrays[bin_id // BINS_PER_ARRAY][bin_id % BINS_PER_ARRAY]

    def _pool_after(self, protocol_fee: int) -> DlmmPool:
        pool = self._pool
        arrays = {index: list(bins) for index, bins in pool.arrays.items()}
        for bin_id, fill in self._taken:
            one = self._bin(bin_id)
            reserve, processed, opened = fill.layers
            x, y = (fill.reserve_in, -reserve) if self._x_to_y else (-reserve, fill.reserve_in)
            arrays[bin_id // BINS_PER_ARRAY][bin_id % BINS_PER_ARRAY] = Bin(
                one.amount_x + x,
                one.amount_y + y,
                one.price,
                0 if opened else one.open_order,
                # A swap that reaches the open orders makes them processed ones.
                one.open_order - opened if opened else one.processed_order - processed,
                one.ask_side,
            )
        of_x = self._fee_on_input == self._x_to_y
        moved = self._bin_id != pool.active_id
        updated_at = self._now.unix_timestamp if moved else pool.volatility.updated_at
        return replace(
            pool,
            active_id=self._bin_id,
            arrays=arrays,
            volatility=replace(self._volatility, accumulator=self._accumulator, updated_at=updated_at),
            protocol_x=pool.protocol_x + (protocol_fee if of_x else 0),
            protocol_y=pool.protocol_y + (0 if of_x else protocol_fee),
        )


def _check_open(pool: DlmmPool, now: ChainTime) -> None:
    """Raises `CurveError` for a pool that is closed or of an unsupported kind."""
    if pool.status:
        raise CurveError(Refusal.CLOSED, f"status is {pool.status}: the pool is disabled")
    if pool.collect_fee_mode not in (ON_INPUT, ONLY_Y):
        raise CurveError(
            Refusal.UNSUPPORTED, f"collect_fee_mode is {pool.collect_fee_mode}: only 0 and 1 are supported"
        )
    if pool.pair_type not in PAIR_TYPES:
        raise CurveError(Refusal.UNSUPPORTED, f"pair_type is {pool.pair_type}: only 0 to 3 are supported")
    if pool.pair_type not in ACTIVATED_TYPES:
        return
    if pool.activation_type not in (BY_SLOT, BY_TIMESTAMP):
        raise CurveError(Refusal.UNSUPPORTED, f"activation_type is {pool.activation_type}: only 0 and 1 are supported")
    point = now.slot if pool.activation_type == BY_SLOT else now.unix_timestamp
    if point < pool.activation_point:
        raise CurveError(Refusal.CLOSED, f"the pool opens at {pool.activation_point}, it is {point}")
