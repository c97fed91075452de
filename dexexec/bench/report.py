"""The figures of a benchmark and the faults that make them worthless, as a table and as JSON."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table
from rich.text import Text


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One number. `key` is stable (`part.case.what`); `limit` is the key of the figure that bounds it, if any."""

    key: str
    name: str
    value: float | None
    unit: str
    limit: str = ""

    @property
    def part(self) -> str:
        """The part that measured it."""
        return self.key.partition(".")[0]


@dataclass(slots=True, kw_only=True)
class Report:
    """All results. The parts add to it while they run."""

    figures: list[Figure] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    details: dict[str, object] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    def add(self, key: str, name: str, value: float | None, unit: str, limit: str = "") -> None:
        """Add a figure."""
        self.figures.append(Figure(key=key, name=name, value=value, unit=unit, limit=limit))

    def value(self, key: str) -> float | None:
        """The value of a figure, or None if it was not measured."""
        return next((figure.value for figure in self.figures if figure.key == key), None)

    def share(self, figure: Figure) -> float | None:
        """The figure divided by its limit."""
        limit = self.value(figure.limit) if figure.limit else None
        return figure.value / limit if limit and figure.value is not None else None

    def document(self, about: dict[str, object]) -> dict[str, object]:
        """The JSON: `about`, then all results. docs/BENCHMARKS.md describes its fields."""
        figures = [
            {
                "key": figure.key,
                "name": figure.name,
                "value": None if figure.value is None else round(figure.value, 4),
                "unit": figure.unit,
                "limit": figure.limit or None,
                "share": None if (share := self.share(figure)) is None else round(share, 4),
            }
            for figure in self.figures
        ]
        parts = {name: {"seconds": round(seconds, 2)} for name, seconds in self.seconds.items()}
        return {
            **about, "parts": parts, "figures": figures, "faults": self.faults, "notes": self.notes,
            "details": self.details,
        }  # fmt: skip

    def show(self, console: Console) -> None:
        """Print the tables, the notes and the faults."""
        for part in dict.fromkeys(figure.part for figure in self.figures):
            console.print(_table(part, [figure for figure in self.figures if figure.part == part], self))
        for note in self.notes:
            console.print(Text(f"note: {note}"))
        for fault in self.faults:
            console.print(Text(f"FAULT: {fault}", style="bold red"))


def _table(part: str, figures: Sequence[Figure], report: Report) -> Table:
    names = {figure.key: figure.name for figure in report.figures}
    table = Table(title=part, title_justify="left", box=SIMPLE, pad_edge=False)
    table.add_column("figure")
    table.add_column("value", justify="right")
    table.add_column("unit")
    # Many parts have no figure with a limit: an empty column would only make the others narrow.
    if any(report.share(figure) is not None for figure in figures):
        table.add_column("share of its limit")
    for figure in figures:
        share = report.share(figure)
        of_limit = f"{share:.0%} of {names[figure.limit]}" if share is not None else ""
        cells = [figure.name, formatted(figure.value), figure.unit, of_limit]
        # As Text, so that rich does not read brackets in a name as markup.
        table.add_row(*map(Text, cells[: len(table.columns)]))
    return table


def formatted(value: float | None) -> str:
    """A number with as many digits as are meaningful."""
    if value is None:
        return "n/a"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 100 else f"{value:.2f}"
