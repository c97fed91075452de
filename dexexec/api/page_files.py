"""`GET /assets/...`: the files of the page, which are part of the package, and what a browser may do with them.

They are code and hold no data, so they need no key: the page has a form for it.
"""

from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path
from types import MappingProxyType

from tornado.web import HTTPError

from dexexec.api.authentication import check_url
from dexexec.api.caller import NOBODY
from dexexec.api.compression import SUFFIX
from dexexec.api.handler import ApiHandler
from dexexec.api.problems import PageRefusedError
from dexexec.config.access import exposed_by, keys_required
from dexexec.config.settings import Settings

FOLDER = Path(__file__).with_name("page")
SHELL = "index.html"
TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
}
"""By the end of a file's name. Others, such as licences and types, are for developers and not served."""
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self';"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
)
"""`connect-src 'self'` includes WebSockets of the same host and port."""
HEADERS = MappingProxyType(
    {
        "Content-Security-Policy": POLICY,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        # Kept, but validated each time: a module of another version than the page would fail in ways that no test has.
        "Cache-Control": "no-cache",
    }
)


@dataclass(frozen=True, slots=True)
class PageFile:
    """One file, as it is sent."""

    body: bytes
    content_type: str
    digest: str


@cache
def page_files() -> MappingProxyType[str, PageFile]:
    """All files by their path below the folder. They are read once, so a request cannot name any other file."""
    found = {}
    for path in sorted(FOLDER.rglob("*")):
        if path.suffix in TYPES and path.is_file():
            name, body = path.relative_to(FOLDER).as_posix(), path.read_bytes()
            found[name] = PageFile(body, TYPES[path.suffix], sha256(body).hexdigest()[:32])
    return MappingProxyType(found)


def check_page(settings: Settings) -> None:
    """Raises `PageRefusedError` where strangers could trade with the page."""
    exposed = exposed_by(settings)
    if exposed and not keys_required(settings):
        raise PageRefusedError(
            f"{exposed} lets the network reach the service and DEXEXEC_REQUIRE_KEYS is 0: the page is only shown where"
            " each request needs an API key, or where only this machine can reach the service"
        )


class PageFileHandler(ApiHandler):
    """Serves one file of the page to all who may see it."""

    file: PageFile | None = None

    async def admit(self) -> None:
        """Without a key. One in the URL is refused all the same."""
        check_url(self.request)
        self.caller = NOBODY

    def get(self, name: str = SHELL) -> None:
        """The file; 304 if the browser has it."""
        if not self.api.settings.page or name not in page_files():
            raise HTTPError(404)
        self.send_file(name)

    head = get

    def send_file(self, name: str) -> None:
        """Finish with a file of the page. Raises `PageRefusedError`."""
        check_page(self.api.settings)
        self._set_headers(HEADERS)
        self.file = page_files()[name]
        self.answer_bytes(self.file.body, self.file.content_type)

    def compute_etag(self) -> str | None:
        """Called by Tornado at the end of a read: a digest of the file."""
        suffix = SUFFIX if "Content-Encoding" in self._headers else ""
        return f'"{self.file.digest}{suffix}"' if self.file else None
