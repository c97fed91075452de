"""JSON-RPC methods about transactions: sending, simulating and looking them up."""

from collections.abc import Mapping
from typing import Any

from solders.hash import Hash
from solders.message import Message, MessageV0, MessageV1, VersionedMessage, from_bytes_versioned
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.transaction import SanitizeError, VersionedTransaction

from dexexec.domain import base58
from dexexec.localnet.blocks import Block, Commitment
from dexexec.localnet.execution_result import ExecutionResult
from dexexec.localnet.faults import ForgottenStatuses
from dexexec.localnet.journal import LandedTransaction
from dexexec.localnet.ledger import Submission
from dexexec.localnet.message_fee import fee_of
from dexexec.localnet.rpc import account_encoding, encoding
from dexexec.localnet.rpc.account_methods import account_of
from dexexec.localnet.rpc.errors import (
    PREFLIGHT_FAILURE,
    SIGNATURE_VERIFICATION_FAILURE,
    InvalidParamsError,
    RpcError,
)
from dexexec.localnet.rpc.request import (
    Call,
    Method,
    confirmed_view,
    read_integer,
    read_pubkey,
    read_signature,
    with_context,
)
from dexexec.localnet.rpc.transaction_encoding import memos, simulation_body, status_body, transaction_body

MAX_BYTES = 1232
MAX_BYTES_V1 = 4096
V1_PREFIX = 0x81
"""The first byte of a version 1 transaction. Others begin with the number of their signatures, which is less."""
MAX_STATUSES = 256
MAX_SIGNATURES = 1_000
RECENT_SLOTS = 300
"""Slots for which a status is found without searching the history."""


def _send(call: Call) -> str:
    options = call.options(1)
    submission = _submission(call, options)
    transaction = submission.transaction
    if not options.get("skipPreflight"):
        view = call.view(options, "preflightCommitment")
        _verify(transaction)
        result = _simulated(call, submission, view, verify=True)
        if result.err is not None:
            message = f"Transaction simulation failed: {explain(result.err)}"
            raise RpcError(PREFLIGHT_FAILURE, message, simulation_body(result))
    elif not all(transaction.verify_with_results()):
        # Without preflight a node forwards what it cannot verify, and the cluster drops it.
        return base58.encode(submission.signature)
    delay = call.node.faults.delay()
    # As on a cluster, a transaction that never lands is answered like one that does.
    if delay is not None:
        call.ledger.submit(submission, delay)
    return base58.encode(submission.signature)


def _fee_for_message(call: Call) -> dict[str, Any]:
    text = call.text(0, "message")
    view = call.view(call.options(1))
    if len(text) > 2 * MAX_BYTES_V1:
        raise InvalidParamsError(f"message is too large (max: {MAX_BYTES_V1} bytes)")
    try:
        message = from_bytes_versioned(encoding.read_base64(text))
        unsigned = [Signature.default()] * message.header.num_required_signatures
        VersionedTransaction.populate(message, unsigned).sanitize()
    except (ValueError, SanitizeError) as error:
        raise InvalidParamsError(f"failed to deserialize the message: {error}") from error
    # A blockhash that is too old for the transaction has no price either.
    known = call.ledger.blocks.usable(str(message.recent_blockhash), view)
    return with_context(view, fee_of(message) if known else None)


def _simulate(call: Call) -> dict[str, Any]:
    options = call.options(1)
    view = call.view(options)
    verify = bool(options.get("sigVerify"))
    replace = bool(options.get("replaceRecentBlockhash"))
    if verify and replace:
        raise InvalidParamsError("sigVerify may not be used with replaceRecentBlockhash")
    submission = _submission(call, options)
    if verify:
        _verify(submission.transaction)
    if replace:
        submission = _with_blockhash(submission, view)
    result = _simulated(call, submission, view, verify=verify)
    body = simulation_body(result, inner=bool(options.get("innerInstructions")))
    body["accounts"] = _accounts_after(call, options.get("accounts"), result, view)
    if replace:
        body["replacementBlockhash"] = {"blockhash": view.hash, "lastValidBlockHeight": view.last_valid_height}
    return with_context(view, body)


def _simulated(call: Call, submission: Submission, view: Block, *, verify: bool) -> ExecutionResult:
    refusal = call.ledger.refusal(submission, view)
    return ExecutionResult(err=refusal) if refusal else call.ledger.simulate(submission, view, verify=verify)


def _accounts_after(call: Call, wanted: Any, result: ExecutionResult, view: Block) -> list[Any] | None:
    if wanted is None:
        return None
    if not isinstance(wanted, dict) or not isinstance(wanted.get("addresses"), list):
        raise InvalidParamsError("accounts must be an object with a list of addresses")
    addresses = [read_pubkey(address, "accounts.addresses") for address in wanted["addresses"]]
    if result.err is not None:
        return [None] * len(addresses)
    data_format = account_encoding.read_data_format(wanted, "base64")
    return [_account_after(call, address, result, view, data_format) for address in addresses]


def _account_after(
    call: Call, address: Pubkey, result: ExecutionResult, view: Block, data_format: account_encoding.DataFormat
) -> Any:
    # What the transaction did not touch is read from the ledger.
    after = result.accounts.get(address)
    if after is None:
        return account_of(call, address, view, data_format)
    return account_encoding.account_body(after, data_format, call.ledger.decimals) if after.lamports else None


def _submission(call: Call, options: Mapping[str, Any]) -> Submission:
    text = call.text(0, "transaction")
    form = options.get("encoding") or "base58"
    if form not in ("base58", "base64"):
        raise InvalidParamsError(f"encoding must be base58 or base64, not {form!r}")
    # Before decoding: base58 takes quadratic time.
    if len(text) > 2 * MAX_BYTES_V1:
        raise InvalidParamsError(f"transaction is too large (max: {MAX_BYTES_V1} bytes)")
    try:
        raw = encoding.read_base64(text) if form == "base64" else base58.decode(text)
    except ValueError as error:
        raise InvalidParamsError(f"invalid {form} encoding: {error}") from error
    most = MAX_BYTES_V1 if raw[:1] == bytes([V1_PREFIX]) else MAX_BYTES
    if len(raw) > most:
        raise InvalidParamsError(f"transaction is too large: {len(raw)} bytes (max: {most} bytes)")
    try:
        transaction = VersionedTransaction.from_bytes(raw)
        transaction.sanitize()
    except (ValueError, SanitizeError) as error:
        raise InvalidParamsError(f"failed to deserialize the transaction: {error}") from error
    # Trailing bytes would be a second form of the same transaction.
    if bytes(transaction) != raw:
        raise InvalidParamsError("failed to deserialize the transaction: there are bytes behind it")
    return Submission(transaction, raw)


def _verify(transaction: VersionedTransaction) -> None:
    if not all(transaction.verify_with_results()):
        raise RpcError(SIGNATURE_VERIFICATION_FAILURE, "Transaction signature verification failure")


def _with_blockhash(submission: Submission, block: Block) -> Submission:
    transaction = submission.transaction
    blockhash = Hash.from_string(block.hash)
    old = transaction.message
    header = old.header
    keys = old.account_keys
    steps = old.instructions
    counts = (
        header.num_required_signatures,
        header.num_readonly_signed_accounts,
        header.num_readonly_unsigned_accounts,
    )
    # Messages are immutable, so a new one is built.
    new: VersionedMessage
    if isinstance(old, MessageV1):
        new = MessageV1(header, old.config, blockhash, keys, steps)
    elif isinstance(old, MessageV0):
        new = MessageV0(header, keys, blockhash, steps, old.address_table_lookups)
    else:
        new = Message.new_with_compiled_instructions(*counts, keys, blockhash, steps)
    changed = VersionedTransaction.populate(new, transaction.signatures)
    return Submission(changed, bytes(changed))


def explain(err: Any) -> str:
    """A TransactionError as a sentence, in a node's own wording for the common ones."""
    if isinstance(err, dict) and "InstructionError" in err:
        index, cause = err["InstructionError"]
        if isinstance(cause, dict) and "Custom" in cause:
            cause = f"custom program error: {cause['Custom']:#x}"
        return f"Error processing Instruction {index}: {cause}"
    return SENTENCES.get(err, err) if isinstance(err, str) else str(err)


SENTENCES = {
    "AccountNotFound": "Attempt to debit an account but found no record of a prior credit.",
    "AlreadyProcessed": "This transaction has already been processed",
    "BlockhashNotFound": "Blockhash not found",
    "InsufficientFundsForFee": "Insufficient funds for fee",
    "InvalidAccountForFee": "This account may not be used to pay transaction fees",
    "SignatureFailure": "Transaction did not pass signature verification",
}


def _statuses(call: Call) -> dict[str, Any]:
    wanted = call.strings(0, "signatures", MAX_STATUSES)
    search = bool(call.options(1).get("searchTransactionHistory"))
    signatures = [read_signature(signature, "signature") for signature in wanted]
    view = call.node.block(Commitment.PROCESSED)
    return with_context(view, [_status(call, signature, view, search=search) for signature in signatures])


def _status(call: Call, signature: bytes, view: Block, *, search: bool) -> dict[str, Any] | None:
    forgets = call.node.faults.forgets
    landed = call.ledger.transaction(signature, view)
    if landed is None or forgets is ForgottenStatuses.ALL:
        return None
    # A node keeps recent statuses in memory and searches older ones only on request.
    if not search and (forgets is ForgottenStatuses.RECENT or landed.slot < view.slot - RECENT_SLOTS):
        return None
    commitment = _commitment(call, landed)
    on_top = call.ledger.blocks.on_top(landed.slot, call.node.faults.lag)
    return {
        "slot": landed.slot,
        "confirmations": None if commitment is Commitment.FINALIZED else on_top,
        "err": landed.err,
        "status": status_body(landed.err),
        "confirmationStatus": commitment,
    }


def _commitment(call: Call, landed: LandedTransaction) -> Commitment:
    return call.ledger.blocks.commitment(landed.slot, call.node.faults.lag)


def _transaction(call: Call) -> dict[str, Any] | None:
    second = call.optional(1)  # older clients send the encoding alone
    options = {"encoding": second} if isinstance(second, str) else call.options(1)
    landed = call.ledger.transaction(call.signature(0, "signature"), confirmed_view(call, options))
    if landed is None or call.node.faults.forgets is ForgottenStatuses.ALL:
        return None
    version = options.get("maxSupportedTransactionVersion")
    version = None if version is None else read_integer(version, "maxSupportedTransactionVersion", 255)
    return transaction_body(landed, options.get("encoding") or "json", version)


def _signatures_for_address(call: Call) -> list[dict[str, Any]]:
    options = call.options(1)
    limit = read_integer(options.get("limit") or MAX_SIGNATURES, "limit", MAX_SIGNATURES)
    before, until = (
        None if options.get(name) is None else read_signature(options[name], name) for name in ("before", "until")
    )
    view = confirmed_view(call, options)
    if call.node.faults.forgets is ForgottenStatuses.ALL:
        return []
    transactions = call.ledger.mentioning(call.pubkey(0, "address"), view, before, until, limit)
    return [
        {
            "signature": base58.encode(landed.signature),
            "slot": landed.slot,
            "err": landed.err,
            "memo": memos(landed),
            "blockTime": landed.time,
            "confirmationStatus": _commitment(call, landed),
        }
        for landed in transactions
    ]


METHODS: dict[str, Method] = {
    "getFeeForMessage": _fee_for_message,
    "getSignatureStatuses": _statuses,
    "getSignaturesForAddress": _signatures_for_address,
    "getTransaction": _transaction,
    "sendTransaction": _send,
    "simulateTransaction": _simulate,
}
