"""Several wallets: each order is signed by its own, or by none."""

import pytest

from dexexec.domain.bound import Bound
from dexexec.domain.swap import SignedSwap, UnsignedSwap
from dexexec.observe.observer import Observer, make_logger
from dexexec.settlement.settlement import Settlement
from dexexec.settlement.signer_errors import SignerError, SignerTrouble
from dexexec.settlement.simulated.sealer import SimulatedSealer
from dexexec.settlement.simulated.signer import SimulatedSigner
from dexexec.settlement.wallet_sealers import WalletSealers
from dexexec.venue import Network
from tests.support.attempts import an_attempt
from tests.support.scripted_settlement import LANDED, QUOTE, ScriptedSettlement


class AwaySealer(SimulatedSealer):
    """A sealer whose signer is left alone after an outage."""

    def trouble(self) -> SignerError:
        return SignerError(SignerTrouble.UNREACHABLE, "away", retry_in_ms=5_000)


def sealers(sealer: SimulatedSealer) -> WalletSealers:
    return WalletSealers(sealers={Network.SIMULATED: sealer}, simulators={Network.SIMULATED: sealer})


def settlement_of(scripted: ScriptedSettlement) -> Settlement:
    named = {
        name: sealers(SimulatedSealer(SimulatedSigner.named(name), guarded=False)) for name in ("desk-1", "desk-2")
    }
    named["away"] = sealers(AwaySealer(SimulatedSigner.named("away"), guarded=False))
    return Settlement(
        {Network.SIMULATED: scripted.chain},
        {Network.SIMULATED: SimulatedSealer(SimulatedSigner(), guarded=False)},
        scripted.clock,
        Observer(make_logger("critical")),
        named=named,
    )


async def signed_by(settlement: Settlement, scripted: ScriptedSettlement, wallet: str | None) -> SignedSwap:
    bound = Bound.of(QUOTE)
    sealed = await settlement.prepare(scripted.venue, QUOTE, 1e9, an_attempt(), bound=bound, wallet=wallet)
    return sealed.signed


async def test_each_wallet_signs_with_its_own_key() -> None:
    scripted = ScriptedSettlement(LANDED)
    settlement = settlement_of(scripted)
    for wallet in (None, "desk-1", "desk-2"):
        signer = SimulatedSigner() if wallet is None else SimulatedSigner.named(wallet)
        signed = await signed_by(settlement, scripted, wallet)
        blockhash = await scripted.chain.blockhash()
        assert signed.signature == signer.sign(UnsignedSwap(signed.payload, blockhash)).signature
    assert len({SimulatedSigner.named(name).payer for name in ("desk-1", "desk-2")}) == 2


async def test_promise_3_an_order_of_a_wallet_that_is_gone_is_signed_by_no_other() -> None:
    scripted = ScriptedSettlement(LANDED)
    settlement = settlement_of(scripted)
    with pytest.raises(SignerError, match="no wallet named desk-9") as caught:
        await signed_by(settlement, scripted, "desk-9")
    assert caught.value.trouble is SignerTrouble.NOT_CONFIGURED
    assert scripted.venue.built == 0
    trouble = settlement.wallet_trouble("desk-9", signs=False)
    assert trouble is not None
    assert trouble.trouble is SignerTrouble.NOT_CONFIGURED


def test_the_outage_of_one_wallet_is_not_that_of_another() -> None:
    settlement = settlement_of(ScriptedSettlement(LANDED))
    assert settlement.wallet_trouble("desk-1", signs=True) is None
    assert settlement.wallet_trouble(None, signs=True) is None
    trouble = settlement.wallet_trouble("away", signs=True)
    assert trouble is not None
    assert trouble.retry_in_ms == 5_000
    assert settlement.wallet_trouble("away", signs=False) is None, "a dry run needs no signer"
