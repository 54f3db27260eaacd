"""What the site adds to docs/: pages of the repository's own files, and links that lead to pages.

In the repository, documents link to each other and to source files by relative path. A link to a
document becomes one to its page, and a link to a file that the site lacks becomes plain text. A
link to nothing is an error.
"""

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
ROOT_PAGES = {"CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}
"""Pages made of files outside docs/."""

INDEX = "decisions/index.md"
_FENCE = re.compile(r"(^```.*?^```$)", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(?<!!)\[((?:[^\[\]]|\[[^\]]*\])*)\]\((?!\w+:)([^)#\s]+)(#[^)\s]*)?\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made of files outside docs/, and the index of the decisions."""
    for name, uri in ROOT_PAGES.items():
        files.append(File.generated(config, uri, content=(ROOT / name).read_text()))
    if INDEX not in files.src_uris:
        files.append(File.generated(config, INDEX, content=index_of_decisions()))
    return files


def index_of_decisions() -> str:
    """Return a page that lists the decisions, newest first."""
    paths = sorted((ROOT / "docs/decisions").glob("[0-9]*.md"), reverse=True)
    entries = [
        f"- [{path.read_text().splitlines()[0].removeprefix('# ')}]({path.name})" for path in paths
    ]
    text = "Why things are as they are, newest first. A decision that was replaced names the newer."
    return "\n".join(["# Decisions", "", text, "", *entries, ""])


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Return a page's text with its links as the site needs them."""
    origins = {uri: name for name, uri in ROOT_PAGES.items()}
    origin = origins.get(page.file.src_uri, f"docs/{page.file.src_uri}")
    parts = _FENCE.split(markdown)
    parts[::2] = [with_page_links(text, origin, page.file.src_uri, files) for text in parts[::2]]
    return "".join(parts)


def with_page_links(text: str, origin: str, uri: str, files: Files) -> str:
    """Return Markdown with the relative links of a document replaced by those of its page.

    Args:
        text: Markdown without fenced code.
        origin: The document's path in the repository, to which its links are relative.
        uri: The page's path on the site.
        files: The site's files.

    Raises:
        PluginError: A link leads to nothing.
    """

    def replaced(match: re.Match[str]) -> str:
        label, target, anchor = match[1], match[2], match[3] or ""
        path = posixpath.normpath(posixpath.join(posixpath.dirname(origin), target))
        page = site_uri(path, files)
        if page is not None:
            return f"[{label}]({posixpath.relpath(page, posixpath.dirname(uri) or '.')}{anchor})"
        if not (ROOT / path).exists():
            raise PluginError(f"{origin} links to {target}, which is not there")
        return label

    return _LINK.sub(replaced, text)


def site_uri(path: str, files: Files) -> str | None:
    """Return the site's file for a path of the repository, or None if there is none."""
    inside = path.removeprefix("docs/")
    candidates = [ROOT_PAGES.get(path, inside if path != inside else "")]
    candidates += [f"{inside}/{name}" for name in ("README.md", "index.md")]
    kept = {file.src_uri for file in files.documentation_pages()}
    return next((uri for uri in candidates if uri in kept), None)
