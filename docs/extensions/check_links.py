"""Checks a built site: python docs/extensions/check_links.py build/docs.

Every link leads to a file of the site and to an anchor in it, and no page loads a
script, a style or a picture from elsewhere. Links to other sites are not followed:
the program lists their hosts.
"""

import collections
import sys
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

from bs4 import BeautifulSoup

LOADED = {"script": "src", "img": "src", "source": "src", "iframe": "src"}
LINKED = {"a": "href"}
LOADED_LINKS = {"stylesheet", "icon", "preload", "modulepreload", "shortcut"}


def links(soup: BeautifulSoup) -> Iterator[tuple[str, bool]]:
    """Yields the links of a page, and whether the browser loads them by itself."""
    for tag, attribute in {**LOADED, **LINKED}.items():
        for element in soup.find_all(tag, attrs={attribute: True}):
            yield element[attribute], tag in LOADED
    for element in soup.find_all("link", href=True):
        yield element["href"], bool(LOADED_LINKS & set(element.get("rel", ())))


def anchors(soup: BeautifulSoup) -> set[str]:
    """Returns the fragments that a page has."""
    named = {element["name"] for element in soup.find_all("a", attrs={"name": True})}
    return named | {element["id"] for element in soup.find_all(id=True)}


def check(site: Path) -> tuple[list[str], dict[str, int]]:
    """Returns complaints, and how many links lead to each other host.

    Args:
      site: folder of the built site.
    """
    site = site.resolve()
    pages = {
        path: BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")
        for path in sorted(site.rglob("*.html"))
        if "_static" not in path.parts
    }
    known = {path: anchors(soup) for path, soup in pages.items()}
    complaints, hosts = [], collections.Counter()
    for path, soup in pages.items():
        where = path.relative_to(site).as_posix()
        for link, loaded in links(soup):
            parts = urllib.parse.urlsplit(link)
            if parts.scheme in ("data", "mailto"):
                continue
            if parts.scheme or parts.netloc:
                hosts[parts.netloc] += 1
                if loaded:
                    complaints.append(f"{where} loads {link} from elsewhere")
                continue
            name = urllib.parse.unquote(parts.path)
            target = (path.parent / name).resolve() if name else path
            target = target / "index.html" if target.is_dir() else target
            if not target.exists():
                complaints.append(f"{where} links to {link}: there is no such file")
            elif parts.fragment and target in known:
                fragment = urllib.parse.unquote(parts.fragment)
                if fragment not in known[target]:
                    complaints.append(f"{where} links to {link}: no such anchor")
    if not pages:
        complaints.append(f"{site} has no page")
    return complaints, dict(hosts)


def main(site: Path) -> int:
    """Prints complaints and other hosts; returns the number of complaints."""
    complaints, hosts = check(site)
    for complaint in complaints:
        print(complaint, file=sys.stderr)
    print("Links to other sites, not followed:")
    for host, count in sorted(hosts.items()):
        print(f"  {count:>5}  {host}")
    return len(complaints)


if __name__ == "__main__":
    sys.exit(min(main(Path(sys.argv[1])), 1))
