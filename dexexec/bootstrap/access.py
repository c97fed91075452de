"""Opens the key ring of an API process, and refuses a start that would let the network trade without keys."""

from dataclasses import dataclass

from dexexec.access.key_ring import KeyRing
from dexexec.api.authentication import Authentication
from dexexec.api.websocket_registry import SocketRegistry
from dexexec.bootstrap.banner import dexexec_command
from dexexec.bootstrap.shared import Shared, at_start
from dexexec.config.access import exposed_by, keys_required
from dexexec.config.settings import Settings
from dexexec.errors import StartupError
from dexexec.store.api_keys import ApiKeyTable


@dataclass(frozen=True, slots=True)
class Access:
    """The keys of a process, and the sockets that end with their keys."""

    ring: KeyRing
    sockets: SocketRegistry
    authentication: Authentication


async def open_access(shared: Shared) -> Access:
    """Read the keys. Raises `StartupError` if keys are required and no key is valid."""
    sockets = SocketRegistry(shared.halts)
    table = ApiKeyTable(shared.read_pool or shared.database, shared.observer.key_unreadable)

    def end_sockets() -> None:
        sockets.close_invalid(ring.is_valid)

    ring = KeyRing(table, shared.clock, shared.observer, end_sockets)
    await at_start(ring.read())
    # An expired key counts as none: clients would get nothing but 401, without a word to the operator.
    required = keys_required(shared.settings)
    if required and not ring.has_valid():
        raise StartupError(no_keys(shared.settings))
    if not required and shared.settings.require_keys is None and ring.has_valid():
        # Keys were made to keep others out, and on this machine they do not yet.
        shared.observer.suspicious_setting_found(
            "there are API keys, and programs of this machine need none: DEXEXEC_REQUIRE_KEYS=1 requires them,"
            " DEXEXEC_REQUIRE_KEYS=0 ends this warning"
        )
    return Access(ring, sockets, Authentication(ring, required=required))


def no_keys(settings: Settings) -> str:
    """Why the start is refused, and the command that helps."""
    exposed = exposed_by(settings)
    why = f"{exposed} lets more than this machine reach the service" if exposed else "DEXEXEC_REQUIRE_KEYS is set"
    command = f"{dexexec_command()} keys create NAME --scope trade"
    otherwise = ", or set DEXEXEC_REQUIRE_KEYS=0 to let all that reach it trade" if exposed else ""
    return f"API keys are required, since {why}, and there is none: run `{command}` with the same settings{otherwise}"
