"""Chooses the version of the messages that a process builds for a cluster (`DEXEXEC_TRANSACTION_VERSION`)."""

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from dexexec.clock import Clock
from dexexec.config.settings import Settings
from dexexec.errors import StartupError

if TYPE_CHECKING:
    from dexexec.settlement.solana.compiler import MessageCompiler
    from dexexec.settlement.solana.rpc import RpcChain

Background = list[Callable[[], Coroutine[Any, Any, None]]]


def message_compiler(settings: Settings, chain: "RpcChain", clock: Clock, background: Background) -> "MessageCompiler":
    """The compiler for the setting. What it has to know of the cluster is read in the background."""
    from dexexec.settlement.solana.compiler import MessageCompiler, VersionChoice  # noqa: PLC0415
    from dexexec.settlement.solana.table_reader import TableReader  # noqa: PLC0415
    from dexexec.settlement.solana.version_support import VersionSupport  # noqa: PLC0415

    choice = VersionChoice(settings.transaction_version)
    support = VersionSupport(chain, clock)
    if choice is VersionChoice.AUTO:
        background.append(support.run)
    return MessageCompiler(choice, support.executes_v1, TableReader(chain))


async def check_version(settings: Settings, chain: "RpcChain", clock: Clock) -> None:
    """Raises `StartupError` if the cluster does not execute the version of the setting, and `VenueError` if no node
    answers."""
    from dexexec.settlement.solana.version_support import VersionSupport  # noqa: PLC0415

    if settings.transaction_version == "1" and not await VersionSupport(chain, clock).read():
        raise StartupError(
            "DEXEXEC_TRANSACTION_VERSION is 1, and this cluster does not execute transactions of version 1: set it to"
            " auto or 0"
        )
