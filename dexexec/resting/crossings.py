"""Finds the orders of a group that its market may have reached, with as few quotes as possible.

The quote at the group's edge bounds the rate of every order in it: far from all of them, one quote is enough. A band
whose orders it could reach gets a quote at its own edge. What is found is a candidate and no more.
"""

from collections.abc import Sequence

from dexexec.domain.quote import Quote
from dexexec.resting.conditions import Fires, WatchedOrder, highest_rate, key_of, lowest_rate
from dexexec.resting.quotes import OracleQuotes, is_refused
from dexexec.resting.watches import Band, Group


async def find_crossed(group: Group, quotes: OracleQuotes) -> list[WatchedOrder]:
    """The orders that a quote for their own size may trigger now, or whose high-water mark it may raise."""
    bands = group.bands()
    edge = await _edge_quotes(group, bands[0], quotes)
    bound = _bound(group, edge, bands) if edge else None
    found: list[WatchedOrder] = []
    for band in bands:
        # Without a quote at the group's edge nothing is known of the other bands.
        if bound is not None and not band.book.crosses(bound):
            continue
        own = edge if band is bands[0] else await _edge_quotes(group, band, quotes)
        if own:
            found.extend(band.book.crossed(_bound(group, own, [band])))
    return found


def _bound(group: Group, quotes: Sequence[Quote], bands: Sequence[Band]) -> int:
    """The key of a rate that no order of `bands` is beyond."""
    if group.fires is Fires.AT_OR_ABOVE:
        return key_of(highest_rate(quotes))
    strictest = min(band.impact_ppm for band in bands)
    return key_of(lowest_rate(quotes, strictest, min(band.smallest for band in bands)))


async def _edge_quotes(group: Group, band: Band, quotes: OracleQuotes) -> Sequence[Quote]:
    """The quotes at a band's edge; empty if no venue has any."""
    rises = group.fires is Fires.AT_OR_ABOVE
    # A price that is not there only makes candidates of limit orders, which are quoted again; but it would hide stops.
    quote = quotes.quote if rises else quotes.believed
    routing = await quote(group.market, band.smallest if rises else band.largest)
    if routing.ranking or not is_refused(routing):
        return routing.ranking
    # The size at the edge is too small or too large for every venue, and must not hide the other orders of the band:
    # the outermost size that has a quote bounds all that can be executed.
    sizes = band.sizes() if rises else band.sizes()[::-1]
    # By halves, since a venue that quotes a size quotes all sizes between that one and the other edge.
    low = 0
    high = len(sizes) - 1
    best: Sequence[Quote] = ()
    while low <= high:
        middle = (low + high) // 2
        routing = await quote(group.market, sizes[middle])
        if routing.ranking:
            best = routing.ranking
            high = middle - 1
        elif is_refused(routing):
            low = middle + 1
        else:
            break
    return best
