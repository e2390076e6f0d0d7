"""Find what pages of a folder load from elsewhere: ``python -m scripts.offline build/site``.

Hospitals have no internet at the desk. A link may lead out; a picture, a style, a script or a font
may not come from there.
"""

from __future__ import annotations

import re
import sys
from html.parser import HTMLParser
from pathlib import Path

LOADS = {
    "audio": "src",
    "embed": "src",
    "iframe": "src",
    "img": "src",
    "input": "src",
    "object": "data",
    "script": "src",
    "source": "src",
    "track": "src",
    "video": "src",
}
"""The attribute of an element whose address a browser loads without a click."""
LOADING_LINKS = {"dns-prefetch", "icon", "manifest", "modulepreload", "preconnect", "prefetch"}
LOADING_LINKS |= {"preload", "stylesheet"}
ELSEWHERE = re.compile(r"\s*(?:[a-z][a-z0-9+.-]*:)?//", re.IGNORECASE)


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self._in_style = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self._in_style = tag == "style"
        if tag in LOADS:
            self.loaded.append(values.get(LOADS[tag], ""))
        if tag == "link" and LOADING_LINKS & set(values.get("rel", "").lower().split()):
            self.loaded.append(values.get("href", ""))
        sizes = values.get("srcset", "").split(",")
        self.loaded += [each.split()[0] for each in sizes if each.strip()]
        self.loaded += addresses_of_style(values.get("style", ""))

    def handle_endtag(self, tag: str) -> None:
        self._in_style = False

    def handle_data(self, data: str) -> None:
        if self._in_style:
            self.loaded += addresses_of_style(data)


def addresses_of_style(css: str) -> list[str]:
    """What a style sheet loads: each ``url(...)`` and each ``@import``."""
    css = re.sub(r"/\*.*?\*/", "", css, flags=re.DOTALL)
    urls = re.findall(r"url\(\s*['\"]?([^'\")]+)", css)
    return urls + re.findall(r"@import\s+['\"]([^'\"]+)", css)


def loaded_from_elsewhere(folder: Path) -> list[str]:
    """What the pages and styles of a folder load from another machine, as ``file: address``."""
    found = []
    for path in sorted(folder.rglob("*")):
        if path.suffix == ".html":
            reader = _Reader()
            reader.feed(path.read_text("utf-8"))
            addresses = reader.loaded
        elif path.suffix == ".css":
            addresses = addresses_of_style(path.read_text("utf-8"))
        else:
            continue
        name = path.relative_to(folder)
        found += [f"{name}: {each}" for each in addresses if ELSEWHERE.match(each)]
    return found


def main() -> int:
    """Print what is loaded from elsewhere; 1 if anything is."""
    found = loaded_from_elsewhere(Path(sys.argv[1]))
    for each in found:
        print(f"loaded from elsewhere: {each}", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main())
