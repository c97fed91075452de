"""Swaps whose key is in a Vault: they land on the localnet as with a key here, also beside a venue's own signature."""

from pathlib import Path

import pytest
from solders.transaction import VersionedTransaction

from dexexec.clock import SystemClock
from dexexec.settlement.signer_errors import SignerError, SignerTrouble
from dexexec.settlement.solana.guard.message_rules import GuardRules
from dexexec.settlement.solana.guard.pinned_programs import Pins
from dexexec.settlement.solana.keychain_signer import KeychainSigner
from tests.support.attempts import an_attempt
from tests.support.localnet.sealing_setup import PROGRAM, SealingSetup, sealing_setup
from tests.support.sealers import solana_sealer
from tests.support.signing.services import TOKEN, Service, serving


def vault_signer(at: SealingSetup, service: Service, folder: Path) -> KeychainSigner:
    (folder / "token").write_text(TOKEN)
    table: dict[str, object] = {
        "api_base_url": service.url,
        "key_name": "desk",
        "token": f"file:{folder / 'token'}",
    }
    return KeychainSigner(at.wallet, "vault", table)


async def test_a_swap_that_a_vault_signs_lands(tmp_path: Path) -> None:
    async with sealing_setup(tmp_path) as at, serving(Service(at.key)) as service:
        signer = vault_signer(at, service, tmp_path)
        clock = SystemClock()
        rules = GuardRules(1_000_000, pins=Pins({"pool": frozenset({PROGRAM})}))
        sealer = solana_sealer(at.chain, signer, rules, clock)
        unsigned = await at.build(*at.honest())
        sealed = await sealer.seal(at.venue, at.quote(), unsigned, clock.monotonic() + 600, an_attempt())
        transaction = VersionedTransaction.from_bytes(sealed.signed.payload)
        assert transaction.verify_with_results() == [True, True], "the venue's signature as well"
        assert len(service.messages) == 1, "it signs once, and only what the guard has checked"
        await at.lands(sealed.signed)
        service.behaviour = "lie"
        unsigned = await at.build(*at.honest())
        with pytest.raises(SignerError) as caught:
            await sealer.seal(at.venue, at.quote(), unsigned, clock.monotonic() + 600, an_attempt())
        assert caught.value.trouble in {SignerTrouble.REFUSED, SignerTrouble.WRONG_SIGNATURE}
        await signer.aclose()
