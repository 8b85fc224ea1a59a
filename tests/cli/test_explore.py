"""The command ``dynsim explore``: what it opens, what it refuses, and once in a real browser."""

import base64
import json
import os
import re
import shutil
import subprocess
import sys
import urllib.request

import numpy as np
import pytest
from matplotlib import pyplot
from matplotlib.figure import Figure

import dynsim.cli.explore
from dynsim import Experiment
from dynsim.explore import explorable, explore
from dynsim.registry import system_module

CHROMIUM = next((found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None)


@pytest.fixture
def screen(monkeypatch):
    """A screen that shows nothing: what is opened on it, and what its user does."""
    opened = []

    def show(block):
        assert block
        for act in show.acts:
            act(opened[-1])

    def remembered(*args, **options):
        opened.append(explore(*args, **options))
        return opened[-1]

    explore, show.acts = dynsim.cli.explore.explore, []
    monkeypatch.setattr(dynsim.cli.explore, "explore", remembered)
    monkeypatch.setattr(dynsim.cli.explore, "_need_screen", lambda: None)
    monkeypatch.setattr(pyplot, "show", show)
    yield opened, show.acts
    pyplot.close("all")


@pytest.mark.slow
def test_what_is_set_and_saved_is_told(dynsim, screen, tmp_path):
    opened, acts = screen
    acts += [lambda window: window.set("lr", 0.02), lambda window: window.save()]
    status, out, _ = dynsim("explore", "signal_noise", "--preset", "tiny", "--set", "s=3", "--save", tmp_path, "--json")
    told = json.loads(out)
    assert status == 0 and told["kind"] == "dynsim explore" and told["view"] == "signal_noise-stages"
    assert (told["values"]["s"], told["values"]["lr"], told["experiment"]["setting"]["s"]) == (3, 0.02, 3)
    saved = Experiment.from_toml(told["saved"][0])
    assert saved.optimizer.lr == 0.02 and saved.setting.s == 3 and opened[0].view.start["s"] == 3
    acts.clear()
    status, out, _ = dynsim("explore", "--config", told["saved"][0])
    assert status == 0 and opened[1].values == opened[0].values and "Save writes setting and picture into" in out


@pytest.mark.slow
def test_what_is_saved_is_the_experiment_itself(dynsim, tmp_path):
    """Not the window's own sampling: the file has what the preset records, and claims come to the same verdicts."""
    window = explore("signal_noise", start="tiny", figure=Figure(), folder=tmp_path)
    window.set("s", 3)
    direct = system_module("signal_noise").experiment("tiny").vary({"s": 3})
    assert window.experiment == direct != window.view.start and window.state.run.provenance["closely"] > direct.closely
    saved, same = ("--config", window.save()[0]), ("signal_noise", "--preset", "tiny", "--set", "s=3")
    reports = [json.loads(dynsim("run", *start, "--json")[1])["report"]["verdicts"] for start in (saved, same)]
    assert reports[0] == reports[1] and len(reports[0]) > 5


def test_without_a_screen_the_way_out_is_named(dynsim):
    status, _, err = dynsim("explore", "signal_noise")
    assert status == 2 and "--web shows the window in a browser" in err and not pyplot.get_fignums()


@pytest.mark.parametrize("with_screen", [True, False])
@pytest.mark.parametrize(("arguments", "said"), [
    (("gradient_heterogeneity", "--preset", "quadratic"), "gradient_heterogeneity has nothing to explore"),
    (("noisy_mnist",), "noisy_mnist has nothing to explore"), (("signal_noise", "--view", "stage"), "did you mean 'stages'"),
    (("signal_noise", "--preset", "tin"), "did you mean 'tiny'"), (("--web", "--port", "0"), "--port 0 must be in [1, 65535]"),
    (("cooccurrence", "--preset", "paper"), "must be gradient flow"),
    (("signal_noise", "--optimizer", "gd"), "under SignGD without momentum"),
])
def test_bad_input(dynsim, request, arguments, said, with_screen):
    if with_screen:
        request.getfixturevalue("screen")
    status, out, err = dynsim("explore", *arguments)
    assert status == 2 and said in err and out == ""


def test_tornado_is_named_where_it_lacks(dynsim, monkeypatch):
    monkeypatch.setitem(sys.modules, "tornado", None)
    status, _, err = dynsim("explore", "--web")
    assert status == 2 and "pip install 'dynsim[explore]'" in err


def test_the_list_says_what_can_be_explored(dynsim):
    lines = dynsim("list", "systems")[1].splitlines()[1:]
    assert [line.split()[0] for line in lines if line.endswith("; dynsim explore opens it")] == list(explorable())
    assert [row["name"] for row in json.loads(dynsim("list", "systems", "--json")[1])["systems"] if row["explore"]] == list(explorable())


# -- a browser -------------------------------------------------------------------------------------------------------


class Page:
    """One page of a headless Chromium, spoken to by its protocol for developer tools."""

    def __init__(self, socket):
        self.socket, self.sent, self.events = socket, 0, []

    async def __call__(self, method, **options):
        self.sent += 1
        await self.socket.write_message(json.dumps({"id": self.sent, "method": method, "params": options}))
        while True:
            answer = json.loads(await self.socket.read_message())
            if answer.get("id") == self.sent:
                assert "error" not in answer, answer
                return answer["result"]
            self.events.append(answer)

    async def evaluate(self, expression):
        return (await self("Runtime.evaluate", expression=expression, awaitPromise=True))["result"].get("value")

    async def picture(self):
        """Return the picture of the window, (height, width, 4), once it is not empty and does not change any more."""
        import asyncio

        last = None
        for _ in range(150):
            data = await self.evaluate("document.querySelector('canvas') ? document.querySelector('canvas').toDataURL() : ''")
            if data and data == last and len(data) > 50_000:
                return pyplot.imread(_file(base64.b64decode(data.partition(",")[2])))
            last = data
            await asyncio.sleep(0.4)
        raise AssertionError(f"no picture that stays: {len(last or '')} characters")

    async def mouse(self, kind, x, y):
        await self("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", buttons=1, clickCount=1)


def _file(data):
    import io

    return io.BytesIO(data)


def _line(stream, pattern):
    """Return the first match in the lines of a stream."""
    for line in stream:
        if found := re.search(pattern, line):
            return found
    raise AssertionError(f"no line with {pattern}")


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on PATH")
def test_a_browser_shows_the_window_and_its_sliders_answer(tmp_path):
    pytest.importorskip("tornado")
    import asyncio

    from tornado.websocket import websocket_connect

    (tmp_path / "matplotlibrc").write_text("webagg.open_in_browser: False\n")
    command = [sys.executable, "-u", "-m", "dynsim", "explore", "signal_noise", "--preset", "tiny", "--web", "--save", tmp_path]
    env = {**os.environ, "MATPLOTLIBRC": str(tmp_path)}
    chromium = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--window-size=1300,1000", "--remote-debugging-port=0",
                "--remote-allow-origins=*", f"--user-data-dir={tmp_path / 'profile'}", "about:blank"]

    async def visit(url, port):
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/json", timeout=30) as pages:
            where = next(page["webSocketDebuggerUrl"] for page in json.load(pages) if page["type"] == "page")
        page = Page(await websocket_connect(where, max_message_size=2**26))
        for domain in ("Runtime", "Log", "Page"):
            await page(f"{domain}.enable")
        await page("Page.navigate", url=f"{url}1")
        before = await page.picture()
        left, top, width, height = json.loads(await page.evaluate(
            "(b => JSON.stringify([b.x, b.y, b.width, b.height]))(document.querySelector('canvas').getBoundingClientRect())"))
        assert (width, height) == before.shape[1::-1] and (before[..., :3] < 0.9).mean() > 0.02
        knob = np.argwhere((np.abs(before[..., :3] - np.array([0x56, 0xB4, 0xE9]) / 255) < 0.01).all(axis=2) & _lower(before))
        y, x = map(int, knob[len(knob) // 3])                    # somewhere on a slider, left of its knob
        for kind in ("mousePressed", *["mouseMoved"] * 10, "mouseReleased"):
            await page.mouse(kind, left + x, top + y)
        after = await page.picture()
        upper = slice(0, int(0.6 * height))
        assert (np.abs(after[upper] - before[upper]) > 0.1).any(axis=2).mean() > 0.002   # panels, not the slider alone
        await page.mouse("mousePressed", left + 60, top + height - 27)
        await page.mouse("mouseReleased", left + 60, top + height - 27)
        await page.picture()
        assert [event for event in page.events if event["method"] in ("Runtime.exceptionThrown", "Log.entryAdded")] == []
        page.socket.close()
        while await page.socket.read_message() is not None:
            pass

    with (
        subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as server,
        subprocess.Popen(chromium, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as browser,
    ):
        try:
            url = _line(server.stdout, r"(http://[\d.]+:\d+/)")[1]
            asyncio.run(visit(url, _line(browser.stderr, r"ws://127\.0\.0\.1:(\d+)/")[1]))
        finally:
            browser.terminate()
            server.send_signal(2)
        assert server.wait(30) == 0
    saved = Experiment.from_toml(tmp_path / "signal_noise-stages-1.toml")
    assert saved.note.startswith("Changed in a window: ") and (tmp_path / "signal_noise-stages-1.png").stat().st_size > 50_000


def _lower(picture):
    """Tell which dots are in the rows of sliders."""
    return (np.arange(len(picture)) > 0.75 * len(picture))[:, None]
