"""The contract of the last release still holds: no client of it breaks. `python -m tests.released` lists what does."""

import pytest

from tests.released.documents import breaks, current, released

HELP = (
    "These changes break clients of the last release. Keep the old form beside the new one; or, for a new major"
    " version, follow CONTRIBUTING.md (Release a contract)."
)


def test_no_change_breaks_a_client_of_the_last_release() -> None:
    found = breaks(released(), current())
    assert not found, "\n".join([HELP, *found])


@pytest.mark.parametrize("name", ["openapi.json", "asyncapi.json"])
def test_the_released_documents_are_of_this_version_or_an_older_one(name: str) -> None:
    def version(document: dict[str, dict[str, str]]) -> tuple[int, ...]:
        return tuple(map(int, document["info"]["version"].split(".")))

    assert version(released()[name]) <= version(current()[name])
