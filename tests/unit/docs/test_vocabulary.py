"""Keeps documents and docstrings in plain English, with limits that may only get tighter."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = next(folder for folder in Path(__file__).parents if (folder / "pyproject.toml").is_file())

DIALECT = re.compile(
    r"\b(told|tells?|telling|says?|said|saying|asked|asks?|asking|nobody|whoever|whatever|whichever|anybody|somebody"
    r"|everybody|ours|stands?|stood|knows?|knew|(?:is|are|was|were) (?-i:none)|fates?|takers?|story|stories|seats?"
    r"|news|knock\w*|bur(?:y|ied|ies)|inherit\w*|doubt\w*|purses?|keepers?|trials?|setbacks?|nursery|plots?|incarnations?"
    r"|worlds?|scenes?|grounds?)\b",
    re.IGNORECASE,
)
"""Words of the project's old dialect, which most readers do not understand. docs/GLOSSARY.md has the replacements."""

MAX_DIALECT_WORDS = {"docs": 0.8, "dexexec": 0.6, "adapters": 0.8, "tests": 0.6}
"""Dialect words per 1,000 words, by area. Lower a limit when the area is better; never raise it."""
MAX_LONG_PREAMBLES = 0
"""Modules whose docstring has more than `PREAMBLE_LINES` lines. Lower it; never raise it."""
MIN_COMMENT_LINES = 25.0
"""Lines that are a comment, per 1,000 lines of dexexec/ and adapters/. Raise it; never lower it."""

PREAMBLE_LINES = 5
SHOWN = 40
QUOTED = "## Words we do not use"
"""The part of the glossary that has to quote the dialect."""


def python_files(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def documents() -> list[Path]:
    return sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("tests/**/*.md")])


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def statements(node: ast.AST) -> Iterator[ast.AST]:
    """All statements below. `ast.walk` takes five times as long, as it also visits every expression."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.stmt | ast.excepthandler | ast.match_case):
            yield child
            yield from statements(child)


def docstrings(path: Path) -> Iterator[tuple[int, str]]:
    """Line number and text of each string that is a statement: docstrings, also those of attributes."""
    for node in statements(tree(path)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield node.lineno, node.value.value


def texts(area: str) -> Iterator[tuple[Path, int, str]]:
    if area == "docs":
        for path in documents():
            yield path, 1, path.read_text().partition(QUOTED)[0]
    else:
        for path in python_files(area):
            for line, text in docstrings(path):
                yield path, line, text


@pytest.mark.parametrize("area", MAX_DIALECT_WORDS)
def test_texts_are_in_plain_english(area: str) -> None:
    words = 0
    findings = []
    for path, first, text in texts(area):
        words += len(re.findall("[A-Za-z']+", text))
        for number, line in enumerate(text.splitlines(), first):
            findings += [(path, number, word, line.strip()) for word in DIALECT.findall(line)]
    rate = 1000 * len(findings) / words
    limit = MAX_DIALECT_WORDS[area]
    lines = "\n".join(f"{path.relative_to(ROOT)}:{n}: {word} | {line}" for path, n, word, line in findings[:SHOWN])
    assert rate <= limit, (
        f"{area}: {rate:.2f} dialect words per 1,000, at most {limit} are allowed.\n"
        f"Rewrite sentences (docs/GLOSSARY.md has the words) until this passes, then lower MAX_DIALECT_WORDS.\n{lines}"
    )


def test_preambles_are_short() -> None:
    long = []
    for path in python_files("dexexec", "adapters", "tests"):
        lines = len((ast.get_docstring(tree(path)) or "").splitlines())
        if lines > PREAMBLE_LINES:
            long.append(f"{path.relative_to(ROOT)}: {lines} lines")
    assert len(long) <= MAX_LONG_PREAMBLES, (
        f"{len(long)} module docstrings have more than {PREAMBLE_LINES} lines, at most {MAX_LONG_PREAMBLES} may.\n"
        "Move reasons to comments at their lines, and explanations to docs/; then lower MAX_LONG_PREAMBLES.\n"
        + "\n".join(long)
    )


def test_hard_lines_have_comments() -> None:
    lines = comments = 0
    for path in python_files("dexexec", "adapters"):
        source = path.read_text()
        lines += len(source.splitlines())
        for token in tokenize.generate_tokens(io.StringIO(source).readline):
            comments += token.type == tokenize.COMMENT and token.line.lstrip().startswith("#")
    rate = 1000 * comments / lines
    assert rate >= MIN_COMMENT_LINES, (
        f"{rate:.1f} comment lines per 1,000 lines of code, at least {MIN_COMMENT_LINES} must be there.\n"
        "Say why at the hard lines (a lock, an index, an order of statements); then raise MIN_COMMENT_LINES."
    )
