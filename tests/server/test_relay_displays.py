"""Outputs that are replaced, and bundles of plots: their order and every other value stay as the kernel sent them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.fakes.kernel_driver import Kernel
from tests.server.test_relay import KEY, MARK, SPLIT_KEY

pytestmark = pytest.mark.kernel

PLOTLY = "application/vnd.plotly.v1+json"
VEGA_LITE = "application/vnd.vegalite.v5+json"
NUMBERS = [0.1 + 0.2, 1e-300, -0.0, 1e22, 2**53 + 1, None, True, "", "π \u2028 \\u0041 </script>"]
"""What a careless copy changes."""
FIGURE = {
    "data": [
        {"type": "scatter", "x": NUMBERS, "y": {"dtype": "f8", "bdata": "AAAAAAAA8D8AAAAAAAAAQA=="}, "name": "<KEY>"},
        {"type": "heatmap", "z": [[1, 2.5], [3.0, None]], "customdata": [["a", "run with <KEY>, twice <KEY>"], []]},
    ],
    "layout": {"title": {"text": "Counts<br><b>by <KEY></b>"}, "xaxis": {"range": [0, 1.5], "type": "log"}},
    "config": {"plotlyServerURL": "https://plot.example.com", "responsive": True},
}
CHART = {
    "$schema": "https://vega.github.io/schema/vega-lite/v5.20.1.json",
    "data": {"name": "data-1f0c2e4d5b6a79881f0c2e4d5b6a7988"},
    "datasets": {"data-1f0c2e4d5b6a79881f0c2e4d5b6a7988": [{"shot": 1, "p": 0.25, "note": "with <KEY>"}, {"p": 1e-9}]},
    "mark": {"type": "bar", "tooltip": {"content": "data"}},
    "encoding": {"x": {"field": "shot", "type": "ordinal"}, "y": {"aggregate": "mean", "field": "p"}},
    "title": ["Shots", "of <KEY>"],
}


def with_(secret: str, bundle: Any) -> Any:
    return json.loads(json.dumps(bundle).replace("<KEY>", secret))


def showing(mime: str, bundle: Any, options: str = "") -> str:
    """Code that displays the bundle with the key in it, which stands nowhere in the code."""
    text = json.dumps({mime: bundle, "text/plain": "a plot"})
    return (
        "import json; from IPython.display import clear_output, display\n"
        f"bundle = json.loads({text!r}.replace('<KEY>', {SPLIT_KEY}))\n"
        f"handle = display(bundle, raw=True{options})\n"
    )


def told(kernel: Kernel, code: str) -> list[tuple[str, Any]]:
    """(message type, content) of what a cell publishes, but for its frame."""
    result = kernel.run(code)
    assert result.status == "ok", result.reply
    frame = ("status", "execute_input")
    return [(m["msg_type"], m["content"]) for m in result.messages if m["msg_type"] not in frame]


@pytest.mark.parametrize(("mime", "bundle"), [(PLOTLY, FIGURE), (VEGA_LITE, CHART)], ids=["plotly", "vega-lite"])
def test_of_a_plot_the_secret_goes_and_everything_else_stays_to_the_bit(
    kernel: Kernel, mime: str, bundle: dict[str, Any]
) -> None:
    (kind, content), *more = told(kernel, showing(mime, bundle, ", metadata={'width': 0.1}"))
    assert (kind, more) == ("display_data", [])
    assert json.dumps(content["data"]) == json.dumps({mime: with_(MARK, bundle), "text/plain": "a plot"})
    assert (content["metadata"], content["transient"]) == ({"width": 0.1}, {})


@pytest.mark.parametrize(("mime", "bundle"), [(PLOTLY, FIGURE), (VEGA_LITE, CHART)], ids=["plotly", "vega-lite"])
def test_a_plot_without_a_secret_stays_to_the_bit(kernel: Kernel, mime: str, bundle: dict[str, Any]) -> None:
    clean = with_("nothing", bundle)
    ((_, content),) = told(kernel, showing(mime, clean))
    assert json.dumps(content["data"][mime]) == json.dumps(clean)


def test_a_plot_that_is_updated_keeps_its_id_and_its_place(kernel: Kernel) -> None:
    """Each update follows what was printed before it, and is redacted like the first."""
    code = showing(PLOTLY, FIGURE, ", display_id='plot-7'") + (
        f"figure = bundle[{PLOTLY!r}]\n"
        "for n in range(3):\n"
        "    print('step', n, flush=True)\n"
        "    figure['layout'] = {'title': {'text': f'{n} ' + figure['data'][0]['name']}}\n"
        "    handle.update(bundle, raw=True)\n"
    )
    first, *rest = told(kernel, code)
    assert first[0] == "display_data" and first[1]["transient"] == {"display_id": "plot-7"}
    assert [kind for kind, _ in rest] == ["stream", "update_display_data"] * 3
    for n, ((_, printed), (_, update)) in enumerate(zip(rest[::2], rest[1::2], strict=True)):
        assert printed["text"] == f"step {n}\n"
        assert update["transient"] == {"display_id": "plot-7"}
        expected = {**with_(MARK, FIGURE), "layout": {"title": {"text": f"{n} {MARK}"}}}
        assert json.dumps(update["data"][PLOTLY]) == json.dumps(expected)


def test_clear_output_passes_untouched_and_in_its_place(kernel: Kernel) -> None:
    """What was printed before it is out before it, also where it was held as the beginning of a secret."""
    code = (
        "from IPython.display import clear_output\n"
        "for n in range(20):\n"
        "    clear_output(wait=n % 2 == 0)\n"
        "    print(n, 'AKIA', end='', flush=True)\n"
    )
    expected: list[tuple[str, Any]] = []
    for n in range(20):
        expected += [("clear_output", {"wait": n % 2 == 0}), ("stream", {"name": "stdout", "text": f"{n} AKIA"})]
    assert joined(told(kernel, code)) == expected


def test_what_is_replaced_at_once_is_redacted_like_what_stays(kernel: Kernel) -> None:
    loop = f"for _ in range(3):\n    print({SPLIT_KEY})\n    clear_output(wait=True)"
    code = f"from IPython.display import clear_output\n{loop}"
    shown = joined(told(kernel, code))
    assert shown == [("stream", {"name": "stdout", "text": f"{MARK}\n"}), ("clear_output", {"wait": True})] * 3
    assert KEY not in json.dumps(shown)


def joined(messages: list[tuple[str, Any]]) -> list[tuple[str, Any]]:
    """Pieces of one stream that follow one another as one: how many there are is the relay's."""
    result: list[tuple[str, Any]] = []
    for kind, content in messages:
        if kind == "stream" and result and result[-1][0] == kind and result[-1][1]["name"] == content["name"]:
            result[-1][1]["text"] += content["text"]
        else:
            result.append((kind, content))
    return result
