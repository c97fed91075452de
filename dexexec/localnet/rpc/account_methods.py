"""JSON-RPC methods about accounts, tokens and the faucet."""

from collections.abc import Callable, Mapping
from typing import Any

from solders.account import Account
from solders.pubkey import Pubkey
from solders.token.state import TokenAccount

from dexexec.domain import base58
from dexexec.localnet.blocks import Block
from dexexec.localnet.faucet import FaucetError
from dexexec.localnet.rpc import account_encoding, encoding
from dexexec.localnet.rpc.errors import INTERNAL_ERROR, InvalidParamsError, RpcError
from dexexec.localnet.rpc.request import Call, Method, read_integer, read_pubkey, with_context

MAX_ADDRESSES = 100
MAX_DECIMALS = 255
MAX_FILTERS = 4
MAX_MEMCMP_LENGTH = 175
"""Characters: 128 bytes in base58."""

Filter = Callable[[Account], bool]


def _balance(call: Call) -> dict[str, Any]:
    view = call.view(call.options(1))
    account = call.ledger.account(call.pubkey(0, "address"), view)
    return with_context(view, account.lamports if account else 0)


def _account_info(call: Call) -> dict[str, Any]:
    options = call.options(1)
    view = call.view(options)
    return with_context(
        view, account_of(call, call.pubkey(0, "address"), view, account_encoding.read_data_format(options))
    )


def _multiple_accounts(call: Call) -> dict[str, Any]:
    options = call.options(1)
    view = call.view(options)
    data_format = account_encoding.read_data_format(options, "base64")
    addresses = [read_pubkey(address, "address") for address in call.strings(0, "addresses", MAX_ADDRESSES)]
    return with_context(view, [account_of(call, address, view, data_format) for address in addresses])


def account_of(
    call: Call, address: Pubkey, view: Block, data_format: account_encoding.DataFormat
) -> dict[str, Any] | None:
    """An account in the requested form. None: it does not exist."""
    account = call.ledger.account(address, view)
    return account_encoding.account_body(account, data_format, call.ledger.decimals) if account else None


def _program_accounts(call: Call) -> Any:
    options = call.options(1)
    view = call.view(options)
    accounts = _matching(call, call.pubkey(0, "program"), view, options, read_filters(options))
    return with_context(view, accounts) if options.get("withContext") else accounts


def _token_accounts_by_owner(call: Call) -> dict[str, Any]:
    owner = call.pubkey(0, "owner")
    return _token_accounts(call, lambda held: held.owner == owner)


def _token_accounts_by_delegate(call: Call) -> dict[str, Any]:
    delegate = call.pubkey(0, "delegate")
    return _token_accounts(call, lambda held: held.delegate == delegate)


def _token_accounts(call: Call, wanted: Callable[[TokenAccount], bool]) -> dict[str, Any]:
    selector = call.options(1)
    options = call.options(2)
    view = call.view(options)
    if selector.keys() == {"mint"}:
        mint = read_pubkey(selector["mint"], "mint")
        account = call.ledger.account(mint, view)
        if encoding.mint(account) is None or account is None:
            raise InvalidParamsError("could not find mint")
        program = account.owner
    elif selector.keys() == {"programId"}:
        mint = None
        program = read_pubkey(selector["programId"], "programId")
        if program not in encoding.PROGRAMS:
            raise InvalidParamsError("unrecognized Token program id")
    else:
        raise InvalidParamsError('give either {"mint": ADDRESS} or {"programId": ADDRESS} (parameter 2)')

    def matches(account: Account) -> bool:
        held = encoding.token_account(account)
        return held is not None and wanted(held) and mint in {None, held.mint}

    return with_context(view, _matching(call, program, view, options, [matches]))


def _matching(
    call: Call, program: Pubkey, view: Block, options: Mapping[str, Any], filters: list[Filter]
) -> list[dict[str, Any]]:
    data_format = account_encoding.read_data_format(options)
    accounts = [
        (str(address), account)
        for address, account in call.ledger.owned_by(program, view).items()
        if all(matches(account) for matches in filters)
    ]
    return [
        {"pubkey": address, "account": account_encoding.account_body(account, data_format, call.ledger.decimals)}
        for address, account in sorted(accounts, key=lambda entry: entry[0])
    ]


def read_filters(options: Mapping[str, Any]) -> list[Filter]:
    """The filters of a search or of a subscription. Raises `InvalidParamsError`."""
    filters = options.get("filters") or []
    if not isinstance(filters, list) or not all(isinstance(entry, dict) and len(entry) == 1 for entry in filters):
        raise InvalidParamsError("filters must be a list of objects with dataSize, memcmp or tokenAccountState")
    if len(filters) > MAX_FILTERS:
        raise InvalidParamsError(f"Too many filters provided; max {MAX_FILTERS}")
    # Copied, because `popitem` would change the request.
    return [_filter(*entry.popitem()) for entry in map(dict, filters)]


def _filter(kind: str, value: Any) -> Filter:
    if kind == "dataSize":
        size = read_integer(value, "dataSize")
        return lambda account: len(account.data) == size
    if kind == "tokenAccountState":
        return lambda account: encoding.token_account(account) is not None
    if kind != "memcmp" or not isinstance(value, dict):
        raise InvalidParamsError(f"{kind} is not a filter, or not an object: give dataSize, memcmp, tokenAccountState")
    offset = read_integer(value.get("offset"), "memcmp.offset")
    wanted = _memcmp_bytes(value)
    return lambda account: account.data[offset : offset + len(wanted)] == wanted


def _memcmp_bytes(value: Mapping[str, Any]) -> bytes:
    given = value.get("bytes")
    # Before decoding: base58 takes quadratic time.
    if isinstance(given, str | list) and len(given) > MAX_MEMCMP_LENGTH:
        raise InvalidParamsError("memcmp.bytes: at most 128 bytes can be compared")
    try:
        if isinstance(given, list):
            return bytes(given)
        return encoding.read_base64(str(given)) if value.get("encoding") == "base64" else base58.decode(str(given))
    except (ValueError, TypeError) as error:
        raise InvalidParamsError(f"memcmp.bytes: {error}") from error


def _token_balance(call: Call) -> dict[str, Any]:
    view = call.view(call.options(1))
    held = encoding.token_account(call.ledger.account(call.pubkey(0, "address"), view))
    decimals = call.ledger.decimals(held.mint) if held else None
    # Without its mint an amount has no decimals to show.
    if held is None or decimals is None:
        raise InvalidParamsError("could not find account: it does not exist, or is not a token account")
    return with_context(view, encoding.amount_body(held.amount, decimals))


def _token_supply(call: Call) -> dict[str, Any]:
    view = call.view(call.options(1))
    state = encoding.mint(call.ledger.account(call.pubkey(0, "mint"), view))
    if state is None:
        raise InvalidParamsError("could not find mint")
    return with_context(view, encoding.amount_body(state.supply, state.decimals))


def _airdrop(call: Call) -> str:
    try:
        landed = call.ledger.airdrop(call.pubkey(0, "address"), call.integer(1, "lamports"))
    except FaucetError as error:
        raise RpcError(INTERNAL_ERROR, f"airdrop failed: {error}") from error
    return base58.encode(landed.signature)


def _fund(call: Call) -> str | None:
    owner = call.pubkey(0, "owner")
    mint_text = call.text(1, "mint")
    mint = read_pubkey(mint_text, "mint") if mint_text else None  # empty: lamports
    decimals = call.integer(2, "decimals", MAX_DECIMALS)
    amount = call.integer(3, "amount")
    try:
        landed = call.ledger.fund(owner, mint, decimals, amount)
    except FaucetError as error:
        raise RpcError(INTERNAL_ERROR, f"funding failed: {error}") from error
    return base58.encode(landed.signature) if landed else None


METHODS: dict[str, Method] = {
    "getAccountInfo": _account_info,
    "getBalance": _balance,
    "getMultipleAccounts": _multiple_accounts,
    "getProgramAccounts": _program_accounts,
    "getTokenAccountBalance": _token_balance,
    "getTokenAccountsByDelegate": _token_accounts_by_delegate,
    "getTokenAccountsByOwner": _token_accounts_by_owner,
    "getTokenSupply": _token_supply,
    "localnet_fund": _fund,
    "requestAirdrop": _airdrop,
}
