"""SPL token mints and instructions for tests on a localnet, through solana-py's own builders."""

from solders.instruction import Instruction
from solders.keypair import Keypair
from solders.pubkey import Pubkey
from solders.system_program import CreateAccountParams, create_account
from spl.token import instructions as spl
from spl.token import models
from spl.token.constants import TOKEN_PROGRAM_ID

from tests.support.localnet.in_process import InProcessLocalnet

MINT_SIZE = 82


def ata(owner: Pubkey, mint: Pubkey, program: Pubkey = TOKEN_PROGRAM_ID) -> Pubkey:
    """The associated token account of an owner."""
    return spl.get_associated_token_address(owner, mint, program)


def open_account(payer: Keypair, owner: Pubkey, mint: Pubkey, program: Pubkey = TOKEN_PROGRAM_ID) -> Instruction:
    """Creates an owner's associated token account, if it does not exist."""
    return spl.create_idempotent_associated_token_account(payer.pubkey(), owner, mint, program)


async def make_mint(net: InProcessLocalnet, authority: Keypair, program: Pubkey = TOKEN_PROGRAM_ID) -> Pubkey:
    """A new mint with 6 decimals."""
    key = Keypair()
    rent = (await net.client.get_minimum_balance_for_rent_exemption(MINT_SIZE)).value
    create = create_account(
        CreateAccountParams(
            from_pubkey=authority.pubkey(), to_pubkey=key.pubkey(), lamports=rent, space=MINT_SIZE, owner=program
        )
    )
    initialize = spl.initialize_mint2(
        models.InitializeMint2Params(
            decimals=6, program_id=program, mint=key.pubkey(), mint_authority=authority.pubkey()
        )
    )
    await net.land([create, initialize], authority, key)
    return key.pubkey()


async def mint_tokens(
    net: InProcessLocalnet,
    authority: Keypair,
    mint: Pubkey,
    amount: int,
    program: Pubkey = TOKEN_PROGRAM_ID,
    *,
    owner: Pubkey | None = None,
) -> None:
    """Mints tokens to the associated account of `owner`, by default the authority, and creates the account."""
    owner = owner or authority.pubkey()
    params = models.MintToParams(
        program_id=program,
        mint=mint,
        dest=ata(owner, mint, program),
        mint_authority=authority.pubkey(),
        amount=amount,
    )
    await net.land([open_account(authority, owner, mint, program), spl.mint_to(params)], authority)


def token_transfer(owner: Keypair, mint: Pubkey, to: Pubkey, amount: int, program: Pubkey) -> Instruction:
    """Transfers tokens between associated token accounts."""
    return spl.transfer_checked(
        models.TransferCheckedParams(
            program_id=program,
            source=ata(owner.pubkey(), mint, program),
            mint=mint,
            dest=ata(to, mint, program),
            owner=owner.pubkey(),
            amount=amount,
            decimals=6,
        )
    )
