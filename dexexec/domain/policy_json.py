"""A policy as JSON, as it is stored with its key and as an operator writes it. Read strictly: a limit that is
misspelled would be no limit at all.
"""

import difflib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from dexexec.domain import base58
from dexexec.domain.order import U64_MAX
from dexexec.domain.policy import Policy
from dexexec.domain.quote import BPS
from dexexec.domain.terms import OrderType

MAX_REQUESTS_PER_SECOND = 100_000
MAX_COUNT = 1_000_000
MAX_NAMES = 1_000
MAX_NAME = 64
NAMES = (
    "requestsPerSecond", "openOrders", "sockets", "maxPerOrder", "maxPerDay", "mints", "venues", "kinds",
    "maxSlippageBps", "maxPriceImpactBps", "wallets",
)  # fmt: skip
U64_DIGITS = 20
_AMOUNT = f'base units from "0" to "{U64_MAX}", as text'
_MINT = "the address of a mint: 32 bytes in base58"


@dataclass(frozen=True, slots=True)
class PolicyProblem:
    """One invalid limit: its name, what is wrong, and what is expected."""

    name: str
    problem: str
    expected: str


class PolicyFormatError(ValueError):
    """A policy that cannot be read, with every invalid limit."""

    def __init__(self, problems: list[PolicyProblem]) -> None:
        super().__init__("; ".join(f"{each.name or 'policy'} {each.problem}: {each.expected}" for each in problems))
        self.problems = problems


def policy_json(policy: Policy) -> dict[str, object]:
    """The policy as JSON values, without the limits that it has not."""
    values: dict[str, object | None] = {
        "requestsPerSecond": policy.requests_per_second,
        "openOrders": policy.open_orders,
        "sockets": policy.sockets,
        # Text: a JSON number is a float for many readers, and base units do not fit one.
        "maxPerOrder": {mint: str(amount) for mint, amount in sorted(policy.max_per_order.items())} or None,
        "maxPerDay": {mint: str(amount) for mint, amount in sorted(policy.max_per_day.items())} or None,
        "mints": _sorted(policy.mints),
        "venues": _sorted(policy.venues),
        "kinds": _sorted(policy.kinds),
        "maxSlippageBps": policy.max_slippage_bps,
        "maxPriceImpactBps": policy.max_price_impact_bps,
        "wallets": _sorted(policy.wallets),
    }
    return {name: value for name, value in values.items() if value is not None}


def read_policy(given: object) -> Policy:
    """The policy in a JSON value. Raises `PolicyFormatError` with every invalid limit."""
    if not isinstance(given, Mapping):
        raise PolicyFormatError([PolicyProblem("", "is not an object", 'such as {"openOrders": 10}')])
    reader = _Reader(given)
    policy = Policy(
        requests_per_second=reader.rate("requestsPerSecond"),
        open_orders=reader.integer("openOrders", MAX_COUNT),
        sockets=reader.integer("sockets", MAX_COUNT),
        max_per_order=reader.amounts("maxPerOrder"),
        max_per_day=reader.amounts("maxPerDay"),
        mints=reader.names("mints", base58.is_address, _MINT),
        venues=reader.names("venues", _is_name, "the name of a venue such as raydium"),
        kinds=reader.kinds("kinds"),
        max_slippage_bps=reader.integer("maxSlippageBps", BPS),
        max_price_impact_bps=reader.integer("maxPriceImpactBps", BPS),
        wallets=reader.names("wallets", _is_name, "the name of a wallet such as desk-2"),
    )
    if reader.problems:
        raise PolicyFormatError(reader.problems)
    return policy


class _Reader:
    """The limits of one policy, and the problems found in them."""

    def __init__(self, given: Mapping[object, object]) -> None:
        self._given = given
        self.problems = list(_strays(given))

    def integer(self, name: str, most: int) -> int | None:
        """The number in a limit; None without one."""
        value = self._given.get(name)
        # An exact type: True is an integer for isinstance.
        if name in self._given and not (type(value) is int and 0 <= value <= most):
            self._wrong(name, f"is {_kind(value)}", f"an integer from 0 to {most}")
            return None
        return value if isinstance(value, int) else None

    def rate(self, name: str) -> float | None:
        """The number per second in a limit; None without one."""
        value = self._given.get(name)
        if name not in self._given:
            return None
        # An exact type again, and neither infinity nor NaN: both fail the comparison.
        if type(value) in (int, float) and isinstance(value, int | float) and 0 < value <= MAX_REQUESTS_PER_SECOND:
            return value
        self._wrong(name, f"is {_kind(value)}", f"a number above 0 and up to {MAX_REQUESTS_PER_SECOND}")
        return None

    def amounts(self, name: str) -> Mapping[str, int]:
        """Base units by mint."""
        value = self._given.get(name, {})
        amounts: dict[str, int] = {}
        if not isinstance(value, Mapping):
            self._wrong(name, f"is {_kind(value)}", f"an object with {_AMOUNT} for each mint")
            return amounts
        # Each mint with its own problem: a list of a hundred tokens is hard to search by eye.
        for mint, amount in value.items():
            if not base58.is_address(mint):
                self._wrong(f"{name}.{_shown(mint)}", "is not a mint", _MINT)
            elif (units := _base_units(amount)) is None:
                self._wrong(f"{name}.{mint}", f"is {_kind(amount)}", _AMOUNT)
            else:
                amounts[mint] = units
        return amounts

    def names(self, name: str, valid: Callable[[str], bool], expected: str) -> frozenset[str] | None:
        """The set of names in a limit; None without one."""
        if name not in self._given:
            return None
        value = self._given[name]
        if not isinstance(value, list) or len(value) > MAX_NAMES:
            self._wrong(name, f"is {_kind(value)}", f"a list of up to {MAX_NAMES} names")
            return None
        for each in value:
            if not isinstance(each, str) or not valid(each):
                self._wrong(name, f"has {_shown(each)}", expected)
        return frozenset(each for each in value if isinstance(each, str))

    def kinds(self, name: str) -> frozenset[OrderType] | None:
        """The set of order types in a limit; None without one."""
        known = {kind.value: kind for kind in OrderType}
        names = self.names(name, known.__contains__, f"one of {', '.join(known)}")
        return None if names is None else frozenset(known[each] for each in names if each in known)

    def _wrong(self, name: str, problem: str, expected: str) -> None:
        self.problems.append(PolicyProblem(name, problem, expected))


def _strays(given: Mapping[object, object]) -> Iterator[PolicyProblem]:
    lower = {name.lower(): name for name in NAMES}
    for name in given:
        if name not in NAMES:
            near = difflib.get_close_matches(str(name).lower(), lower, n=1)
            expected = f"did you mean {lower[near[0]]}?" if near else f"only {', '.join(NAMES)}"
            yield PolicyProblem(_shown(name), "is not a limit", expected)


def _base_units(value: object) -> int | None:
    if isinstance(value, str) and len(value) <= U64_DIGITS and value.isascii() and value.isdecimal():
        value = int(value)
    # An exact type: True is an integer for isinstance.
    return value if type(value) is int and isinstance(value, int) and 0 <= value <= U64_MAX else None


def _is_name(text: str) -> bool:
    return 0 < len(text) <= MAX_NAME and text.isprintable()


def _sorted(names: frozenset[str] | frozenset[OrderType] | None) -> list[str] | None:
    return None if names is None else sorted(str(name) for name in names)


def _kind(value: object) -> str:
    return _shown(value) if isinstance(value, int | float | str) else f"a {type(value).__name__}"


def _shown(value: object) -> str:
    return ascii(str(value)[:40])[1:-1]
