"""Draws the pictures of the pages by running their own code: ``make pictures``, or ``python docs/pictures.py sgd``."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

DOCS = Path(__file__).resolve().parent
FENCE = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def python_blocks(text: str) -> list[str]:
    """Give each block with as many empty lines before it as the page has, so that tracebacks show the page's lines."""
    return ["\n" * text.count("\n", 0, match.start(1)) + match[1] for match in FENCE.finditer(text)]


def run(page: Path) -> None:
    """Run the blocks of a page from top to bottom, in the folder that they are to write to: the current one."""
    namespace = {"__name__": "__main__"}
    for block in python_blocks(page.read_text(encoding="utf-8")):
        exec(compile(block, str(page), "exec"), namespace)


def shrink(picture: Path) -> None:
    """Give a picture a palette: the same to the eye, a third of the bytes."""
    from PIL import Image

    with Image.open(picture) as image:
        if image.mode != "P":
            image.convert("RGB").quantize(128, dither=Image.Dither.NONE).save(picture, optimize=True)


def main(names: list[str]) -> None:
    """Draw the pictures of the pages with these names, or of all pages that save one; and make all pictures small."""
    import matplotlib as mpl

    mpl.use("Agg")
    mpl.rcParams["savefig.dpi"] = 90
    for page in sorted(DOCS.rglob("*.md")):
        wanted = page.stem in names if names else "savefig(" in page.read_text(encoding="utf-8")
        if wanted:
            print(f"== {page.relative_to(DOCS)}", flush=True)
            os.chdir(page.parent)
            run(page)
    for picture in sorted(DOCS.rglob("*.png")):
        shrink(picture)


if __name__ == "__main__":
    main(sys.argv[1:])
