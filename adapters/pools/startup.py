"""Start-up checks of `adapters/pools/venue.py`: which deployment of the program to use, and whether everything that the
settings name exists. Every error names the variable to set."""

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
"""The owners of program accounts."""


def find_deployment(
    options: PoolOptions, node: str, deployments: Mapping[str, Deployment], *, kind: str, prefix: str
) -> Deployment:
    """The program and its configs for a node of the cluster `node` (empty: unknown).

    `kind` is the name of the venue's pools, `prefix` the prefix of its variables. Raises `Unsupported`.
    """
    if options.cluster and node and options.cluster != node:
        raise Unsupported(
            f"{prefix}CLUSTER is {options.cluster}, but the node belongs to {node}: unset it, or set SOLANA_RPC_URL to"
            f" a node of {options.cluster}"
        )
    cluster = options.cluster or node
    known = deployments.get(cluster)
    if options.program_id:
        # A program at another address does not have the configs of the cluster's deployment.
        return Deployment(options.program_id, options.pool_configs)
    if known is None:
        where = f"on {cluster}" if cluster else "on the node's cluster, which is not one of Solana's,"
        copy = "" if cluster else f", or {prefix}CLUSTER to the cluster that it is a copy of"
        raise Unsupported(
            f"no deployment of the {kind} program {where} is known: set {prefix}PROGRAM_ID to its address there{copy}"
        )
    return Deployment(known.program, options.pool_configs or known.configs)


def check_program(address: str, account: Account | None, cluster: str, *, kind: str, prefix: str) -> None:
    """Raises `Unsupported` if no program is deployed at `address`, for example because it is another cluster's."""
    if account is not None and account.owner in LOADERS:
        return
    remedy = "load it there" if cluster == "localnet" else "set SOLANA_RPC_URL to a node of another cluster"
    raise Unsupported(
        f"program id {address} is not a program on {cluster or 'the cluster of the node'}: set {prefix}PROGRAM_ID to"
        f" the address that the {kind} program has there, or {remedy}"
    )


def check_named(
    variable: str,
    addresses: Sequence[str],
    accounts: Mapping[str, Account],
    check: Callable[[str, Account | None], object],
) -> None:
    """Run `check` for each address of a setting. The variable's name is added to its `BadAnswer` or `Unsupported`."""
    for address in addresses:
        try:
            check(address, accounts.get(address))
        except (BadAnswer, Unsupported) as error:
            raise type(error)(f"{variable}: {error}") from error
