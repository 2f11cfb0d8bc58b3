"""What the documentation's site has beside the pages of docs/: the README as its first page, the
pages and files of the recipes that docs/ links to, the examples, and the changelog."""

from __future__ import annotations

import re
from html import unescape
from pathlib import Path
from typing import Any

from latex2mathml.converter import convert
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[2]
FORMULA = re.compile(
    r'<(?P<tag>span|div) class="arithmatex">'
    r"(?:\\\((?P<inline>.*?)\\\)|\\\[(?P<block>.*?)\\\])</(?P=tag)>",
    re.DOTALL,
)

PAGES = {
    "index.md": "README.md",
    "examples/index.md": "examples/README.md",
    "changelog.md": "CHANGELOG.md",
    "contributing.md": "CONTRIBUTING.md",
    "security.md": "SECURITY.md",
}


def on_files(files: Files, config: Any) -> Files:
    """Add what lies outside of docs/ and is linked to."""
    linked: dict[str, Path] = {name: ROOT / source for name, source in PAGES.items()}
    for page in sorted((ROOT / "docs").glob("*.md")):
        for target in re.findall(r"\]\(\.\./([^)#]+)", page.read_text(encoding="utf-8")):
            if (ROOT / target).is_file():
                linked[target] = ROOT / target
    linked["LICENSE"] = ROOT / "LICENSE"
    for path in (ROOT / "examples").glob("*.[ip]*"):
        linked[f"examples/{path.name}"] = path
    for name, path in linked.items():
        files.append(File.generated(config, name, content=path.read_text(encoding="utf-8")))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Links, as the site has them."""
    deep = page.file.src_uri.count("/")
    name = page.file.src_uri
    if name in PAGES:
        for made, source in PAGES.items():
            markdown = markdown.replace(f"]({source})", f"]({made})")
        return re.sub(r"(\]\()docs/", r"\1", markdown)
    if not deep:
        return re.sub(r"(\]\()\.\./(?!\.)", r"\1", markdown)
    return markdown.replace("](" + "../" * deep + "docs/", "](" + "../" * deep)


def on_page_content(html: str, **_: Any) -> str:
    """Formulas as MathML, which browsers show without a script."""
    return FORMULA.sub(
        lambda found: convert(
            unescape(found["inline"] or found["block"]),
            display="inline" if found["inline"] else "block",
        ),
        html,
    )
