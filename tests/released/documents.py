"""The documents of the last release, and those of the code."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dexexec.api.contract.asyncapi import asyncapi
from dexexec.api.contract.openapi import openapi
from tests.released.contract_changes import asyncapi_breaks, openapi_breaks

DOCS = Path(__file__).parents[2] / "docs"
Documents = Mapping[str, Any]
"""Both documents, by the name of their file."""


def released() -> Documents:
    """Those of the last release."""
    return {name: json.loads((DOCS / name).read_text()) for name in ("openapi.json", "asyncapi.json")}


def current() -> Documents:
    """Those of the code, as a client reads them."""
    documents = {"openapi.json": openapi(), "asyncapi.json": asyncapi()}
    return {name: json.loads(json.dumps(document)) for name, document in documents.items()}


def breaks(old: Documents, new: Documents) -> list[str]:
    """What breaks a client of the old ones."""
    found = openapi_breaks(old["openapi.json"], new["openapi.json"])
    found += asyncapi_breaks(old["asyncapi.json"], new["asyncapi.json"])
    return list(dict.fromkeys(found))


def write(documents: Documents) -> None:
    """Make these the last release's."""
    for name, document in documents.items():
        (DOCS / name).write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n")
