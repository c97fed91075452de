"""What `adapters/pools/venue.py` finds out at the start: which deployment of its program it is to use, and whether that
and all that its settings name are there. Every refusal names the variable to set."""

from collections.abc import Callable, Mapping, Sequence

from dexexec.domain.solana import Account
from dexexec.venue import BadAnswer, Unsupported
from dexexec_adapters.pools.options import PoolOptions
from dexexec_adapters.solana.clusters import Deployment

LOADERS = frozenset({
    "BPFLoader1111111111111111111111111111111111",
    "BPFLoader2111111111111111111111111111111111",
    "BPFLoaderUpgradeab1e11111111111111111111111",
    "LoaderV411111111111111111111111111111111111",
})  # fmt: skip
"""Who owns programs."""


def deployed(
    options: PoolOptions, node: str, deployments: Mapping[str, Deployment], *, kind: str, prefix: str
) -> Deployment:
    """The program and its configs, on a node of the cluster `node` (empty: unknown); `kind` is what its pools are
    called, `prefix` that of the variables. Raises `Unsupported`."""
    if options.cluster and node and options.cluster != node:
        raise Unsupported(
            f"{prefix}CLUSTER is {options.cluster}, but the node is of {node}: unset it, or set SOLANA_RPC_URL to a"
            f" node of {options.cluster}"
        )
    cluster = options.cluster or node
    known = deployments.get(cluster)
    if options.program_id:
        # A program of one's own has none of the cluster's configs.
        return Deployment(options.program_id, options.pool_configs)
    if known is None:
        where = f"on {cluster}" if cluster else "on the node's cluster, which is none of Solana's own,"
        copy = "" if cluster else f", or {prefix}CLUSTER to the cluster that it is a copy of"
        raise Unsupported(
            f"no deployment of the {kind} program {where} is known: set {prefix}PROGRAM_ID to its address there{copy}"
        )
    return Deployment(known.program, options.pool_configs or known.configs)


def check_program(address: str, account: Account | None, cluster: str, *, kind: str, prefix: str) -> None:
    """Raises `Unsupported` if no program is deployed at `address`: it may be another cluster's."""
    if account is not None and account.owner in LOADERS:
        return
    other = "load it there" if cluster == "localnet" else "set SOLANA_RPC_URL to a node of another cluster"
    raise Unsupported(
        f"program id {address} is not a program on {cluster or 'the cluster of the node'}: set {prefix}PROGRAM_ID to"
        f" the address that the {kind} program has there, or {other}"
    )


def check_named(
    variable: str,
    addresses: Sequence[str],
    found: Mapping[str, Account],
    check: Callable[[str, Account | None], object],
) -> None:
    """Each address of a setting by `check`, whose `BadAnswer` or `Unsupported` then names the variable."""
    for address in addresses:
        try:
            check(address, found.get(address))
        except (BadAnswer, Unsupported) as error:
            raise type(error)(f"{variable}: {error}") from error
