"""The tutorial notebooks, run in a real Jupyter Server as a learner runs them: first all cells, then the exercises."""

from __future__ import annotations

import base64
import io
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from jupyter_client.blocking.client import BlockingKernelClient
from PIL import Image

from tests.e2e.realserver import CellResult, RealServer

EXAMPLES = Path(__file__).parents[2] / "examples"
_SVG = "{http://www.w3.org/2000/svg}"
_FENCE = re.compile(r"```python\n(.*?)```", re.DOTALL)


@dataclass(frozen=True)
class Notebook:
    """A notebook as it is committed.

    An exercise is a cell with that tag; behind it stand its check and its solution. The solution is text, so that
    running all cells leaves the exercise to the learner."""

    name: str
    cells: tuple[Mapping[str, Any], ...]

    @classmethod
    def read(cls, path: Path) -> Notebook:
        return cls(path.stem, tuple(json.loads(path.read_text("utf-8"))["cells"]))

    @property
    def code(self) -> dict[str, str]:
        return {cell["id"]: "".join(cell["source"]) for cell in self.cells if cell["cell_type"] == "code"}

    @property
    def plots(self) -> list[str]:
        """The cells that draw."""
        return [cell_id for cell_id, code in self.code.items() if "plt.subplots(" in code]

    @property
    def exercises(self) -> list[str]:
        return [cell["id"] for cell in self.cells if "exercise" in cell["metadata"].get("tags", ())]

    def after(self, exercise: str, tag: str) -> Mapping[str, Any]:
        """The first cell with that tag behind an exercise."""
        place = [cell["id"] for cell in self.cells].index(exercise)
        found: Mapping[str, Any] = next(c for c in self.cells[place:] if tag in c["metadata"].get("tags", ()))
        return found

    def solution(self, exercise: str) -> str:
        """Its code; empty when it says in words what to do."""
        code = _FENCE.search("".join(self.after(exercise, "solution")["source"]))
        return code.group(1) if code else ""


class Learner:
    """A notebook in a kernel, which may have run others before: it begins without a variable of theirs."""

    def __init__(self, client: BlockingKernelClient, notebook: Notebook) -> None:
        self.notebook = notebook
        self._client = client
        self.seen: dict[str, CellResult] = {}
        """What each cell showed when all were run, nothing answered."""
        self.run("%reset -f")

    def run_all(self) -> None:
        """As the menu does: from top to bottom, until a cell fails."""
        for cell_id, code in self.notebook.code.items():
            result = self.run(code)
            self.seen[cell_id] = result
            assert result.status == "ok", f"{self.notebook.name}, cell {cell_id}: {result.text}"

    def run(self, code: str) -> CellResult:
        return RealServer.run(self._client, code)

    def value(self, expression: str) -> Any:
        """A value of the kernel, by way of JSON."""
        result = self.run(f"import json as _json; print(_json.dumps({expression}))")
        assert result.status == "ok", result.text
        # The SDK warns on standard error.
        contents = [message["content"] for message in result.messages]
        return json.loads("".join(content["text"] for content in contents if content.get("name") == "stdout"))

    def answer(self, exercise: str, code: str) -> str:
        """What the check says after an answer."""
        assert self.run(code).status == "ok"
        return self.check(exercise)

    def check(self, exercise: str) -> str:
        result = self.run("".join(self.notebook.after(exercise, "check")["source"]))
        assert result.status == "ok", result.text
        return result.text.strip()


def drawing(png: str) -> tuple[int, int]:
    """Width and height in pixels of a picture, in base64, that shows something: `AssertionError` otherwise."""
    with Image.open(io.BytesIO(base64.b64decode(png, validate=False))) as picture:
        assert picture.format == "PNG"
        picture.load()  # also when its end is missing
        colours = picture.convert("RGB").getcolors(picture.width * picture.height)
        assert colours is not None
        background = max(count for count, _ in colours)
        assert len(colours) >= 10 and background < 0.99 * picture.width * picture.height, "an empty picture"
        return picture.width, picture.height


def bars(html: str) -> int:
    """How many bars the histogram of a magic has, the only drawing there; all lie within it."""
    [svg] = re.findall(r"<svg.*?</svg>", html, re.DOTALL)
    root = ElementTree.fromstring(svg)
    _, _, width, height = map(float, root.attrib["viewBox"].split())
    assert width >= 200 and height >= 50
    found = [{name: float(one.attrib[name]) for name in ("x", "width", "height")} for one in root.iter(f"{_SVG}rect")]
    assert all(one["width"] > 0 and one["height"] > 0 and one["x"] + one["width"] <= width for one in found)
    return len(found)


def shown(result: CellResult, mime: str) -> list[str]:
    """What a cell displayed in one form."""
    return [
        "".join(message["content"]["data"][mime])
        for message in result.messages
        if mime in message["content"].get("data", {})
    ]
