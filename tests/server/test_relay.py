"""What clients get from a real kernel: everything but secrets."""

from __future__ import annotations

import base64
import json
import time
from pathlib import Path

import pytest

from tests.fakes.kernel_driver import Kernel, drain
from tests.fakes.kernel_home import PRIVATE_KEY
from tests.fakes.waiting import wait_for
from tests.server.conftest import KernelWorld

pytestmark = pytest.mark.kernel

# In two parts, so that no scan of this file takes it for one.
KEY = "AKIA" + "QSEC7PLANTED5Q2X"
SPLIT_KEY = "'AKIA' + 'QSEC7PLANTED5Q2X'"
MARK = "[REDACTED:aws-access-key]"


def test_a_printed_key_is_redacted(kernel: Kernel) -> None:
    result = kernel.run(f"print('before', {SPLIT_KEY}, 'after')")
    assert result.text == f"before {MARK} after\n"


def test_a_key_that_comes_in_three_prints_is_redacted(kernel: Kernel) -> None:
    result = kernel.run(
        "import sys, time\n"
        "for part in ('the key is AK', 'IAQSEC7PLAN', 'TED5Q2X and more\\n'):\n"
        "    sys.stdout.write(part); sys.stdout.flush(); time.sleep(0.02)"
    )
    assert result.text == f"the key is {MARK} and more\n"


def test_without_the_relay_the_same_prints_leak(kernel_world: KernelWorld) -> None:
    """Shows that the relay is what removes them: the same kernel under Jupyter's own provisioner."""
    from jupyter_client.provisioning.factory import KernelProvisionerFactory

    from jupyter_qsec.kernels.provisioner import install_default_provisioner

    KernelProvisionerFactory.clear_instance()
    plain = Kernel()
    try:
        assert plain.run(f"print({SPLIT_KEY})").text == f"{KEY}\n"
        assert plain.run(f"x = {PRIVATE_KEY!r}").status == "ok"
    finally:
        plain.close()
        KernelProvisionerFactory.clear_instance()
        install_default_provisioner()


SEND = (
    "k = get_ipython().kernel\n"
    "send = lambda m, c, **o: k.session.send(k.iopub_socket, m, c, parent=k.get_parent(), **o)"
)
WAYS_OUT = {
    "result": "KEY",
    "html": "HTML('<b>' + KEY + '</b>')",
    "display-data": "display({'text/plain': KEY}, raw=True)",
    "display-metadata": "display({'text/plain': 'x'}, raw=True, metadata={'note': KEY})",
    "updated-display": "h = display('x', display_id=True); h.update(KEY)",
    "json-data": "JSON({'deep': [{'er': KEY}]})",
    "traceback": "raise ValueError(KEY)",
    "standard-error": "import sys; print(KEY, file=sys.stderr)",
    "subprocess": "!printf 'AKIA%s\\n' QSEC7PLANTED5Q2X",
    "file-descriptor": "import os, time; os.write(1, (KEY + '\\n').encode()); time.sleep(0.3)",
    "pager": "from IPython.core.page import page; page(KEY)",
    "comm": "create_comm(target_name='x', data={'v': KEY})",
    "comm-buffer": "create_comm(target_name='x').send({}, buffers=[KEY.encode()])",
    "wide-comm-buffer": "create_comm(target_name='x').send({}, buffers=[KEY.encode('utf-16-le')])",
    "own-message": "send('stream', {'name': 'stdout', 'text': KEY})",
    "own-header": "m = k.session.msg('display_data', {'data': {}, 'metadata': {}}, parent=k.get_parent());"
    " m['header']['username'] = KEY; k.session.send(k.iopub_socket, m)",
    "own-topic": "send('display_data', {'data': {}, 'metadata': {}}, ident=KEY.encode())",
    "escapes": "send('display_data', "
    "json.dumps({'data': {'text/plain': KEY}, 'metadata': {}}).replace('A', '\\\\u0041'))",
    "duplicate-key": "send('display_data', "
    '\'{"data": {"text/plain": "\' + KEY + \'"}, "data": {}, "metadata": {}}\')',
}


@pytest.mark.parametrize("way", WAYS_OUT)
def test_no_way_out_shows_the_key(kernel: Kernel, way: str) -> None:
    kernel.run("import json; from comm import create_comm; from IPython.display import HTML, JSON, display")
    kernel.run(f"KEY = {SPLIT_KEY}\n{SEND}")
    request = kernel.send(WAYS_OUT[way])
    frames = raw_frames_until_idle(kernel, request)
    everything = b"".join(frames)
    for form in (KEY.encode(), KEY.encode("utf-16-le"), KEY.replace("A", "\\u0041").encode()):
        assert form not in everything
    if way not in ("own-topic", "duplicate-key"):  # these lose the secret without a trace of it
        assert b"REDACTED:aws-access-key" in everything or b"*" * len(KEY) in everything or b"\0" * 40 in everything


def raw_frames_until_idle(kernel: Kernel, request: str) -> list[bytes]:
    """Everything that comes over the wire for a request, as a client's socket gets it, and the reply."""
    frames: list[bytes] = []
    iopub, shell = kernel.client.iopub_channel.socket, kernel.client.shell_channel.socket
    while True:
        assert iopub.poll(20_000), "no more messages, and the cell is not idle"
        parts = iopub.recv_multipart()
        frames += parts
        whole = b"".join(parts)
        if request.encode() in whole and b'"idle"' in whole:
            break
    assert shell.poll(20_000), "no reply"
    reply: list[bytes] = shell.recv_multipart()
    return frames + reply


def test_replies_are_redacted(kernel: Kernel) -> None:
    kernel.run(f"secret_of_mine = {SPLIT_KEY}\ndef documented(): pass\ndocumented.__doc__ = secret_of_mine")
    inspected = kernel.request("inspect_request", {"code": "documented", "cursor_pos": 10, "detail_level": 0})
    assert inspected.reply["found"]
    assert KEY not in inspected
    evaluated = kernel.run("1", user_expressions={"x": "secret_of_mine"})
    assert MARK in evaluated
    assert KEY not in evaluated
    kernel.run("completions = {secret_of_mine: 1}")
    completed = kernel.request("complete_request", {"code": "completions['", "cursor_pos": 13})
    assert completed.reply["status"] == "ok"
    assert KEY not in completed
    kernel.run("x = 'AKIAQSEC7PLANTED5Q2X'")  # fmt: skip
    history = kernel.request("history_request", {"hist_access_type": "tail", "n": 5, "output": False, "raw": True})
    assert history.reply["history"]
    assert KEY not in history


def test_the_lease_token_is_a_secret_in_every_encoding(kernel: Kernel) -> None:
    kernel.run("import os; t = open(os.environ['AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE']).read()")
    token = (kernel.provisioner._session.folder.token_file).read_text()
    result = kernel.run("import base64; print(t, t[::-1], t.encode().hex(), base64.b64encode(t.encode()).decode())")
    assert result.text.count("[REDACTED:lease-token]") == 4
    assert token not in result
    assert base64.b64encode(token.encode()).decode() not in result


def test_a_new_lease_is_known_at_once(kernel: Kernel) -> None:
    kernel.provisioner._session.held.new()
    result = kernel.run("import os; print(open(os.environ['AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE']).read())")
    assert result.text == "[REDACTED:lease-token]\n"


def test_a_progress_bar_flows(kernel: Kernel) -> None:
    """Each step arrives while the cell still runs: nothing is held that could not become a secret."""
    request = kernel.send(
        "import sys, time\n"
        "for n in range(4):\n    sys.stdout.write(f'\\r{n * 25}% done'); sys.stdout.flush(); time.sleep(0.3)"
    )
    arrivals: list[tuple[float, str]] = []
    while True:
        message = kernel.client.get_iopub_msg(timeout=10)
        if message["parent_header"].get("msg_id") != request:
            continue
        if message["msg_type"] == "stream":
            arrivals.append((time.monotonic(), message["content"]["text"]))
        if message["msg_type"] == "status" and message["content"]["execution_state"] == "idle":
            break
    kernel.client.get_shell_msg(timeout=5)
    assert "".join(text for _, text in arrivals) == "\r0% done\r25% done\r50% done\r75% done"
    assert arrivals[-1][0] - arrivals[0][0] > 0.6


def test_text_that_could_become_a_secret_is_shown_before_the_cell_ends(kernel: Kernel) -> None:
    request = kernel.send("import sys, time\nsys.stdout.write('AKIA'); sys.stdout.flush(); time.sleep(1.5)")
    started = time.monotonic()
    kernel.later(lambda m: m["msg_type"] == "stream" and m["content"]["text"] == "AKIA")
    assert time.monotonic() - started < 1.3
    kernel.collect(request)


def test_ten_thousand_prints_arrive(kernel: Kernel) -> None:
    result = kernel.run("for n in range(10000):\n    print(n)")
    assert result.text == "".join(f"{n}\n" for n in range(10_000))


def test_findings_tell_the_cell_and_never_the_secret(kernel: Kernel, kernel_world: KernelWorld) -> None:
    kernel_world.seen.found.clear()
    kernel.collect(kernel.send(f"\nprint({SPLIT_KEY})", cell_id="cell-of-this-test"))
    kernel.collect(kernel.send("\n\ny = 'AKIAQSEC7PLANTED5Q2Y'", cell_id="other-cell"))  # fmt: skip
    found = wait_for(lambda: kernel_world.seen.found if len(kernel_world.seen.found) >= 2 else None, "two findings")
    output = next(item for item in found if item.cell_id == "cell-of-this-test")
    assert (output.place, output.kind, output.action) == ("output", "aws-access-key", "redacted")
    source = next(item for item in found if item.cell_id == "other-cell" and item.place == "source")
    assert (source.line, source.action) == (3, "warned")
    assert output.fingerprint != source.fingerprint
    assert KEY not in repr(found)


def test_a_private_key_stops_the_cell_and_the_queue_behind_it(
    kernel: Kernel, kernel_world: KernelWorld, tmp_path: Path
) -> None:
    kernel_world.seen.found.clear()
    kernel.run("ran = []")
    queued = tmp_path / "queued"
    kernel.run(f"import os, time\ndef wait():\n    while not os.path.exists({str(queued)!r}): time.sleep(0.01)")
    requests = [
        kernel.send("wait(); ran.append(1)"),
        kernel.send(f"ran.append(2)\nkey = '''\n{PRIVATE_KEY}'''", cell_id="with-key"),
        kernel.send("ran.append(3)"),
        kernel.send("ran.append(4)"),
    ]
    queued.touch()
    replies: dict[str, dict[str, object]] = {}
    while len(replies) < 4:
        reply = kernel.client.get_shell_msg(timeout=20)
        replies[reply["parent_header"]["msg_id"]] = reply["content"]
    drain(kernel.client)
    assert [replies[request]["status"] for request in requests] == ["ok", "error", "aborted", "aborted"]
    blocked = replies[requests[1]]
    assert blocked["ename"] == "CellBlocked"
    assert str(blocked["evalue"]).startswith("line 3: private key")
    assert kernel.run("print(ran, 'key' in globals(), 'CellBlocked' in globals())").text == "[1] False False\n"
    history = kernel.run(
        "print([line for _, _, line in get_ipython().history_manager.get_range() if 'MI' 'IE' in line])"
    )
    assert history.text == "[]\n"
    finding = wait_for(
        lambda: [item for item in kernel_world.seen.found if item.action == "blocked"],
        "the finding of the blocked cell",
    )[0]
    assert (finding.kind, finding.line, finding.cell_id) == ("private-key", 3, "with-key")


def test_a_blocked_cell_has_one_line_and_no_traceback(kernel: Kernel) -> None:
    result = kernel.run(f"k = '''{PRIVATE_KEY}'''")
    (error,) = result.of("error")
    assert len(error["content"]["traceback"]) == 1
    assert error["content"]["traceback"][0].startswith("CellBlocked: line 1: private key in the source.")
    assert "MIIE" not in result


@pytest.mark.parametrize("kind", ["complete_request", "inspect_request", "is_complete_request"])
def test_a_private_key_does_not_reach_the_kernel_by_other_requests(kernel: Kernel, kind: str) -> None:
    result = kernel.request(kind, {"code": f"k = '''{PRIVATE_KEY}'''", "cursor_pos": 5, "detail_level": 0})
    assert result.reply["status"] in ("ok", "unknown")
    assert not result.reply.get("matches")


def test_a_private_key_in_a_debug_request_is_refused(kernel: Kernel) -> None:
    arguments = {"seq": 1, "type": "request", "command": "dumpCell", "arguments": {"code": f"k = '''{PRIVATE_KEY}'''"}}
    result = kernel.request("debug_request", arguments, channel="control")
    assert result.reply["success"] is False


def test_input_works_and_a_typed_secret_is_reported(kernel: Kernel, kernel_world: KernelWorld) -> None:
    kernel_world.seen.found.clear()
    request = kernel.client.execute("answer = input('What? '); print(len(answer))", allow_stdin=True)
    asked = kernel.client.get_stdin_msg(timeout=20)
    assert asked["content"]["prompt"] == "What? "
    kernel.client.input(KEY)
    assert kernel.collect(request).text == "20\n"
    found = wait_for(
        lambda: [item for item in kernel_world.seen.found if item.place == "input"], "the finding of the typed secret"
    )
    assert [item.action for item in found] == ["reported"]


def test_an_unscannable_message_is_withheld_and_answered(kernel: Kernel) -> None:
    """Deeper than any parser goes: it must neither pass nor vanish."""
    result = kernel.run(
        f"{SEND}\nsend('display_data', "
        f"'{{\"data\": {{\"text/plain\": \"' + {SPLIT_KEY} + '\"}}, \"metadata\": ' + '[' * 20000 + ']' * 20000 + '}}')"
    )
    assert KEY not in result
    assert "[REDACTED:unscannable]" in result


def test_a_second_client_sees_the_same(kernel: Kernel) -> None:
    other = kernel.connect()
    try:
        result = kernel.run(f"print({SPLIT_KEY})", client=other)
        assert result.text == f"{MARK}\n"
    finally:
        other.stop_channels()
    drain(kernel.client)


def test_widgets_talk_both_ways(kernel: Kernel) -> None:
    opened = kernel.run("import ipywidgets; w = ipywidgets.IntSlider(value=3); w")
    comm = next(m["content"]["comm_id"] for m in opened.of("comm_open") if "IntSliderModel" in json.dumps(m["content"]))
    message = kernel.client.session.msg(
        "comm_msg", {"comm_id": comm, "data": {"method": "update", "state": {"value": 7}, "buffer_paths": []}}
    )
    kernel.client.shell_channel.send(message)
    assert kernel.run("print(w.value)").text == "7\n"
    drain(kernel.client)


def test_the_debugger_answers(kernel: Kernel) -> None:
    result = kernel.request(
        "debug_request", {"seq": 1, "type": "request", "command": "debugInfo", "arguments": {}}, channel="control"
    )
    assert result.reply["success"] is True


def test_images_and_large_outputs_pass_unharmed(kernel: Kernel) -> None:
    result = kernel.run(
        "import os, base64; from IPython.display import Image, display\n"
        "png = b'\\x89PNG\\r\\n\\x1a\\n' + os.urandom(2_000_000)\n"
        "display(Image(data=png, format='png')); import hashlib; print(hashlib.sha256(png).hexdigest())"
    )
    import hashlib

    (shown,) = result.of("display_data")
    png = base64.b64decode(shown["content"]["data"]["image/png"])
    assert hashlib.sha256(png).hexdigest() == result.text.strip()


def test_a_message_that_cannot_be_handled_ends_nothing(kernel: Kernel) -> None:
    """A header that is too deep to be scanned, with a secret in it, once took the relay with it."""
    code = (
        "import functools\n"
        "k = get_ipython().kernel\n"
        f"deep = functools.reduce(lambda inner, _: [inner], range(200), {KEY!r})\n"
        "message = k.session.msg('status', {'execution_state': 'busy'}, parent=k.get_parent())\n"
        "message['header']['x'] = deep\n"
        "k.session.send(k.iopub_socket, message, ident=b'status')\n"
        "print('sent')"
    )
    result = kernel.run(code)
    assert (result.status, result.text, KEY in result) == ("ok", "sent\n", False)
    assert kernel.run("1 + 1").status == "ok"
    assert kernel.provisioner._session.relay.alive()
