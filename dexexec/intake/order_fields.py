"""The body of an order while it is read: what was given, and every invalid field with what would be right."""

import difflib
import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice

from dexexec.domain.amount import JsonNumber
from dexexec.errors import IN_THE_PAST, FieldProblem
from dexexec.observe.untrusted_text import masked_name

SHOWN = 20
"""How many unknown fields, or known mints, are named at most."""
_SHORTEST_BEGINNING = 4


class JsonConstant(str):
    """NaN, Infinity or -Infinity: Python's JSON reader takes them, JSON does not."""

    __slots__ = ()


class Repeating(dict[str, object]):
    """An object with a repeated name."""

    def __init__(self, pairs: list[tuple[str, object]]) -> None:
        super().__init__(pairs)
        counts = Counter(name for name, _ in pairs)
        self.repeated = [name for name, count in counts.items() if count > 1]


class OrderFields:
    """The fields of one body, which may only have `known` names, and the errors found in them."""

    def __init__(
        self, given: Mapping[str, object], known: Sequence[str], problem: str = "is not a field of an order"
    ) -> None:
        self.given = given
        self.problems: list[FieldProblem] = []
        self.passed: list[FieldProblem] = []
        """Fields with a time that has passed. They were right when an earlier request with the same key was read."""
        if isinstance(given, Repeating) or not given.keys() <= set(known):
            self.problems += islice(_strays(given, known, problem), SHOWN)

    def same_mint(self) -> None:
        """Input and output are the same mint: reported for the given field, since the other may be a default."""
        name, other = ("outputMint", "inputMint") if "outputMint" in self.given else ("inputMint", "outputMint")
        self.wrong(name, f"is the same as {other}", "two different mints")

    def hash(self, canonical: Mapping[str, str]) -> bytes:
        """SHA-256 over the fields that were given, all of them checked, amounts in their one canonical form."""
        # By value: neither white space, the order of fields, the notation of an amount nor a changed default of this
        # service makes a repeated request look like another one.
        given = sorted(f"{name}={canonical.get(name, value)}" for name, value in self.given.items())
        return hashlib.sha256("\n".join(given).encode()).digest()

    def wrong(self, name: str, problem: str, expected: str) -> None:
        """Record an invalid field, and what is expected."""
        self.problems.append(FieldProblem(name, problem, expected))

    def past(self, name: str, expected: str) -> None:
        """Record a field whose time has passed."""
        self.passed.append(FieldProblem(name, IN_THE_PAST, expected))

    def kind(self, name: str) -> str:
        """The error for a JSON value of another kind."""
        return f"is {kind_of(self.given[name])}" if name in self.given else "is missing"


def _strays(given: Mapping[str, object], known: Sequence[str], problem: str) -> Iterator[FieldProblem]:
    for name in given.repeated if isinstance(given, Repeating) else ():
        yield FieldProblem(shown(name), "is given more than once", "each field once")
    for name in given:
        if name not in known:
            yield unknown_name(name, known, problem)


def unknown_name(name: str, known: Sequence[str], problem: str) -> FieldProblem:
    """The problem of a field or parameter that does not exist: it names the nearest of `known`, or all of them."""
    by_lower_case = {one.lower(): one for one in known}
    given = name[:40].lower()
    # The beginning of a name is closer to it than a short name of similar letters: `limit` is `limitPrice`, not `mint`.
    begun = [one for one in by_lower_case if len(given) >= _SHORTEST_BEGINNING and one.startswith(given)]
    near = begun or difflib.get_close_matches(given, by_lower_case, n=1)
    expected = f"did you mean {by_lower_case[near[0]]}?" if near else f"only {', '.join(known)}"
    return FieldProblem(shown(name), problem, expected if known else "no parameters")


def kind_of(value: object) -> str:
    """What a JSON value is, for an error."""
    if value is None:
        return "null"
    kinds = {bool: "a boolean", str: "a string", list: "an array", JsonNumber: "a number", JsonConstant: "not JSON"}
    return kinds.get(type(value), "an object")


def shown(name: str) -> str:
    """A client's field name, cleaned for answers and log lines."""
    # `ascii` escapes control characters, and puts quotes around the text.
    return ascii(masked_name(name))[1:-1]
