"""Pages: links lead somewhere, terms are spelled in one way, public names have examples."""

import re
import sys
from functools import cache
from importlib import import_module
from pathlib import Path

import pytest

import specsim
from specsim.validation.registry import all_claims

ROOT = Path(__file__).parents[2]
PAGES = sorted([*(ROOT / "docs").rglob("*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md"])
PAGES = [page for page in PAGES if "generated" not in page.parts]

#: Spellings that are not used, and the ones that are. Code, links and file names are left out.
TERMS = {
    r"[Ss]peedup": "speed-up",
    r"(?<![-\w.])(?:Numpy|NUMPY)\b": "NumPy",
    r"(?<![-\w.])(?:Pytorch|pyTorch)\b": "PyTorch",
    r"\b(?:VLLM|Vllm)\b": "vLLM",
    r"\b(?:SGlang|Sglang)\b": "SGLang",
    r"\b(?:TensorRT LLM|TRT-LLM)\b": "TensorRT-LLM",
    r"\bGithub\b": "GitHub",
    r"\bHuggingface\b": "Hugging Face",
    r"\b[Mm]onte[- ]carlo\b": "Monte Carlo",
    r"\b[Ll]ookahead length\b": "draft length",
    r"\b[Ss]pec(?:ulative)?[- ]dec\b": "speculative decoding",
    r"\b[Ss]peculation length\b": "draft length",
    r"\b[Vv]ocab\b": "vocabulary",
    r"\bloss-less\b": "lossless",
    r"\bun-biased\b": "unbiased",
}


def prose(text):
    """Return the text without code, links and comments."""
    for pattern in (
        r"^---\n.*?^---\n",
        r"```.*?```",
        r"~~~.*?~~~",
        r"`[^`\n]*`",
        r"\]\([^)]*\)",
        r"<!--.*?-->",
    ):
        text = re.sub(pattern, " ", text, flags=re.S | re.M)
    return text


def anchors(text):
    """Return the anchors of a page's headings, as GitHub and the site make them."""
    headings = re.findall(r"^#+ +(.*?)\s*$", re.sub(r"```.*?```", "", text, flags=re.S), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def generate():
    """Return the module that writes the site's generated pages."""
    sys.path.insert(0, str(ROOT / "docs"))
    try:
        return import_module("generate")
    finally:
        sys.path.pop(0)


@cache
def generated():
    """Return the pages that docs/generate.py writes, without reading what is on disk."""
    found = {"rules", "statements", "api/index"} | {f"api/{name}" for name in generate().NAMESPACES}
    found |= {f"rules/{name}" for name in specsim.catalogue()}
    found |= {f"statements/{claim.id}" for claim in all_claims()}
    return {ROOT / "docs" / "generated" / f"{name}.md" for name in found}


def broken_links(page):
    """Return the relative links of a page that lead to no file, no generated page or no heading."""
    found = []
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.S)
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        if re.match(r"[a-z]+:", link) or target in generated():
            continue
        if not target.exists() or (anchor and anchor not in anchors(target.read_text(encoding="utf-8"))):
            found.append(link)
    return found


def test_links_lead_somewhere():
    found = {str(page.relative_to(ROOT)): broken_links(page) for page in PAGES}
    assert not {page: links for page, links in found.items() if links}


@pytest.mark.parametrize("wrong", TERMS)
def test_terms_are_spelled_in_one_way(wrong):
    found = [
        f"{page.relative_to(ROOT)}: {match[0]!r}, write {TERMS[wrong]!r}"
        for page in PAGES
        for match in re.finditer(wrong, prose(page.read_text(encoding="utf-8")))
    ]
    assert not found


def test_links_and_terms__what_is_wrong_is_found(tmp_path):
    (tmp_path / "b.md").write_text("# A b\n```\n# not one\n```\n## C, `d`")
    page = tmp_path / "a.md"
    good = "[x](b.md) [x](b.md#c-d) [x](https://example.org/b.md)"
    page.write_text(f"# A\n{good} [x](c.md) [x](b.md#not-one) [x](#b)")
    assert broken_links(page) == ["c.md", "b.md#not-one", "#b"]
    assert re.search(r"[Ss]peedup", prose("a speedup"))
    assert not re.search(r"[Ss]peedup", prose("`speedup`, [a](speedup.md), ```\nspeedup\n```"))


def test_every_public_name_has_an_example():
    module = generate()
    missing = []
    for namespace in module.NAMESPACES:
        if namespace == "specsim.models":
            continue
        home = import_module(namespace) if namespace.count(".") else specsim
        for name in module._public(home):
            item = getattr(home, name)
            # A type alias has no docstring of its own.
            if not name.startswith("_") and callable(item) and ">>>" not in (item.__doc__ or ""):
                missing.append(f"{namespace}.{name}")
    assert not missing
