"""The interface of reference prices, public: a second opinion before a resting order is triggered.

A reference is found by name, like a venue: it registers in the entry-point group `dexexec.references`, and
DEXEXEC_ORACLE names it. `docs/ADAPTERS.md` describes how to write one.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, ClassVar, Generic

from pydantic import BaseModel

from dexexec.clock import Clock
from dexexec.domain.token import Tokens
from dexexec.venue import Chain, NoOptions, OptionsT, options_from


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferencePrice:
    """A price as it was observed at a Unix time (ms). `rate` is base units received per base unit spent, exact, before
    any fee."""

    rate: Fraction
    at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferenceContext(Generic[OptionsT]):
    """What a reference gets from the engine. `chains` are those of the enabled venues, by the name of their network."""

    clock: Clock
    tokens: Tokens
    chains: Mapping[str, Chain]
    options: OptionsT


class PriceReference(ABC, Generic[OptionsT]):
    """A source of prices. `Options` and `options_prefix` are as for a venue."""

    name: ClassVar[str]
    Options: ClassVar[type[BaseModel]] = NoOptions
    options_prefix: ClassVar[str] = ""

    def __init__(self, context: ReferenceContext[OptionsT]) -> None:
        self.context = context
        self.options = context.options

    # Not abstract: a reference without accounts of its own has nothing to look up.
    async def prepare(self) -> None:
        """Called once before the first price. Raises one of `dexexec.venue.VENUE_ERRORS`, which ends the start."""
        return

    @abstractmethod
    async def price(self, mint_in: str, mint_out: str) -> ReferencePrice | None:
        """The newest price for swaps of `mint_in` for `mint_out`; None for a pair that has none. Raises one of
        `dexexec.venue.VENUE_ERRORS`. It is cancelled after a second."""

    async def aclose(self) -> None:
        """Release what was opened."""
        return

    @classmethod
    def read_options(cls, environ: Mapping[str, str]) -> BaseModel:
        """`Options` filled from `environ`; raises `pydantic.ValidationError`."""
        return options_from(cls.Options, cls.options_prefix, environ)


AnyReference = PriceReference[Any]
"""A reference with any options."""
