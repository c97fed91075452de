"""Which problems of a valid body no JSON Schema can express: they depend on settings, on the time, on a token's
decimals, or compare two numbers.
"""

import re

from dexexec.errors import FieldProblem

_BEYOND = re.compile(
    "|".join(
        (
            # A token's decimals, and the size of its accounts.
            "has more decimals than .+",
            "is too large",
            "makes the other amount .+",
            "leaves slices of less than one base unit",
            # The settings, and the keys that there are.
            "is not the name of a key",
            "is not a known mint",
            "is not a wallet of this service that you may use",
            "is not an address",
            "is a share of the balance, and .+",
            "is a share of the balance, which a quote does not read",
            "is not possible: .+",
            "names .+, which is not enabled",
            "is false, and this service runs every order dry",
            # The pair, a part of which may be a default.
            "is the same as (inputMint|outputMint)",
            "does not fit an order that spends SOL, which is in the wallet itself",
            # Times.
            "is in the past",
            "is too far away",
            "is not before expiresAt",
            "makes [0-9]+ slices take too long",
            # Comparisons of numbers and times.
            "is not after (since|from)",
            # Two parameters that exclude each other: OpenAPI has rules for one parameter only.
            "is given beside pair",
            "is missing beside (inputMint|outputMint)",
            "is not below maxPrice",
            "is not (above|below) (the stop|limitPrice)(, so a fill would reach it at once)?",
            # A text that only the service makes; and 732.0, which is an integer to JSON Schema.
            "is not a cursor of this list",
            "is not an integer",
            # A name that is taken, a day that the calendar does not have, a duration out of its range.
            "begins with bracket:, which is for the exits of brackets",
            r"is not a time with a zone \(RFC 3339\)",
        )
    )
)


def is_beyond_schemas(problem: FieldProblem) -> bool:
    """Whether a body that its schema accepts may have this problem."""
    return bool(_BEYOND.fullmatch(problem.problem)) or (problem.field, problem.problem) == ("every", "is out of range")
