"""Links in documents lead to what is there: on the site to pages, in the repository to files."""

import ast
import importlib
import re
from pathlib import Path

import pytest
from mkdocs.config import load_config
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files

from scripts.docs_site import INDEX, index_of_decisions, with_page_links

ROOT = Path(__file__).parents[2]


def site_files(tmp_path):
    config = load_config(str(ROOT / "mkdocs.yml"), site_dir=str(tmp_path))
    uris = ["index.md", "guides/cluster.md", "study/README.md"]
    files = [File(uri, str(ROOT / "docs"), str(tmp_path), use_directory_urls=False) for uri in uris]
    return config.plugins.on_files(Files(files), config=config)


@pytest.mark.parametrize(
    ("origin", "uri", "link", "expected"),
    [
        ("docs/index.md", "index.md", "guides/cluster.md#jobs", "[a](guides/cluster.md#jobs)"),
        ("docs/guides/x.md", "guides/x.md", "../study/README.md", "[a](../study/README.md)"),
        ("docs/guides/x.md", "guides/x.md", "../study", "[a](../study/README.md)"),
        ("docs/index.md", "index.md", "decisions", f"[a]({INDEX})"),
        ("docs/guides/x.md", "guides/x.md", "../../CONTRIBUTING.md", "[a](../contributing.md)"),
        ("docs/guides/x.md", "guides/x.md", "../../cluster/gpu.yaml", "a"),
        ("CONTRIBUTING.md", "contributing.md", "docs/guides/cluster.md", "[a](guides/cluster.md)"),
        ("docs/index.md", "index.md", "https://www.ray.io", "[a](https://www.ray.io)"),
    ],
)
def test_a_link_leads_to_a_page_or_becomes_text(origin, uri, link, expected, tmp_path):
    assert with_page_links(f"[a]({link})", origin, uri, site_files(tmp_path)) == expected


def test_a_link_to_nothing_is_an_error(tmp_path):
    with pytest.raises(PluginError, match=r"docs/index\.md links to guides/none\.md"):
        with_page_links("[a](guides/none.md)", "docs/index.md", "index.md", site_files(tmp_path))


def test_pictures_stay_as_they_are(tmp_path):
    text = "![rooms](architecture.svg)"
    assert with_page_links(text, "docs/index.md", "index.md", site_files(tmp_path)) == text


def test_every_decision_is_listed_newest_first():
    linked = re.findall(r"\]\((\d{4}-[\w-]+\.md)\)", index_of_decisions())
    assert linked == sorted(linked, reverse=True)
    assert set(linked) == {path.name for path in (ROOT / "docs/decisions").glob("0*.md")}


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_the_documents_at_the_root_link_to_what_is_there(name):
    links = re.findall(r"\]\((?!https?:)([^)#]+)", (ROOT / name).read_text())
    assert links or name == "CHANGELOG.md"
    assert not [link for link in links if not (ROOT / link).exists()]


DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
DOCUMENTS += sorted((ROOT / "docs/guides").glob("*.md"))


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.stem)
def test_what_the_examples_import_is_there(path):
    text = path.read_text()  # what a guide's own diff adds need not be there
    blocks = re.findall(r"^```python$(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    for node in (node for block in blocks for node in ast.walk(ast.parse(block))):
        if isinstance(node, ast.ImportFrom) and node.module.startswith("sparta_ray"):
            module = importlib.import_module(node.module)
            names = [alias.name for alias in node.names if f"+class {alias.name}" not in text]
            assert all(hasattr(module, name) for name in names), ast.unparse(node)
