"""Venues that combine pools are added where the settings allow it and some venues show their depth."""

from collections.abc import Sequence

import pytest

from dexexec.bootstrap.routes import with_routes
from dexexec.config.settings import Settings, load
from dexexec.domain.depth import PoolDepth
from dexexec.domain.quote import SwapRequest
from dexexec.domain.token import USDC, WSOL
from dexexec.errors import AdapterLoadError, SettingsError
from dexexec.settlement.solana.guard.pinned_programs import Pins
from dexexec.testing.clock import ManualClock
from dexexec.venues.routes.venue import Routes
from tests.support.scripted import ScriptedVenue

CLOCK = ManualClock()


class Deep(ScriptedVenue):
    async def depths(self, request: SwapRequest, deadline: float) -> Sequence[PoolDepth]:
        return []


def names(settings: Settings, *venues: ScriptedVenue) -> list[str]:
    return [venue.name for venue in with_routes(venues, settings, CLOCK)]


def test_split_and_hops_stand_behind_the_venues_that_they_combine() -> None:
    assert names(Settings(), Deep("deep", CLOCK), ScriptedVenue("flat", CLOCK)) == ["deep", "flat", "split", "hops"]
    *_, split, _ = with_routes([Deep("deep", CLOCK), ScriptedVenue("flat", CLOCK)], Settings(), CLOCK)
    assert isinstance(split, Routes)
    assert split.combines == ("deep",)


def test_they_are_left_out_where_one_pool_each_is_wanted_or_no_depth_is_shown() -> None:
    assert names(Settings(routes="single"), Deep("deep", CLOCK)) == ["deep"]
    assert names(Settings(), ScriptedVenue("flat", CLOCK)) == ["flat"]


@pytest.mark.parametrize("taken", ["split", "hops"])
@pytest.mark.parametrize("routes", ["single", "all"])
def test_an_adapter_cannot_take_their_names(taken: str, routes: str) -> None:
    with pytest.raises(AdapterLoadError, match=f"has the name '{taken}', which is the engine's own"):
        names(Settings.model_validate({"routes": routes}), Deep(taken, CLOCK))


def test_the_wallet_signs_for_what_is_pinned_for_the_combined_venues() -> None:
    pins = Pins({"one": frozenset({"A"}), "two": frozenset({"B"}), "other": frozenset({"C"})})
    pins.combine({"split": ("one", "two")})
    assert pins.of("split") == {"A", "B"}


def test_hop_mints_are_read_from_a_list_and_refused_if_they_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings().hop_mints == (WSOL, USDC)
    monkeypatch.setenv("DEXEXEC_HOP_MINTS", f" {USDC} ,{WSOL}")
    assert load().hop_mints == (USDC, WSOL)
    monkeypatch.setenv("DEXEXEC_HOP_MINTS", "SOL")
    with pytest.raises(SettingsError, match="DEXEXEC_HOP_MINTS"):
        load()
