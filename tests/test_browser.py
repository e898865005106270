"""The browser client, the inspector and the demo page in a real Chromium, on real servers."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from axe_playwright_python.base import AXE_SCRIPT  # axe-core itself
from playwright.async_api import Browser, BrowserContext, Page, expect

from .browser import Network, Watch, browser, watched
from .example_project import APPLICATION, migrated
from .servers import PATIENCE, Server, serve

pytestmark = pytest.mark.asyncio(loop_scope="module")

LOBBY = '[data-stream="chat/lobby/"]'
KITCHEN = '[data-stream="chat/kitchen/"]'

#: A page without content, for scripts that have sockets of their own. No policy forbids that.
BARE = "/static/demo/say.js"
#: What scripts begin with: `make(options)` connects, `until(target, type)` waits for an event.
PRELUDE = """
const { Demultiplexer } = await import("/static/channels_demultiplexer/demultiplexer.js");
const make = (options) => (window.socket = new Demultiplexer("/ws/demo/", options));
const until = (target, type) =>
  new Promise((resolve) => target.addEventListener(type, resolve, { once: true }));
"""


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of the example, with a migrated database of its own."""
    return migrated(tmp_path_factory.mktemp("browser") / "db.sqlite3")


@pytest.fixture(scope="module")
def server(request: pytest.FixtureRequest, environment: dict[str, str]) -> Iterator[Server]:
    """The example, served by Daphne where a test does not ask for another server."""
    with serve(getattr(request, "param", "daphne"), APPLICATION, env=environment) as server:
        yield server


@pytest.fixture
def url(server: Server) -> str:
    """The address of the demo page, without a slash at the end."""
    return server.url.replace("ws:", "http:")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def chromium() -> AsyncIterator[Browser]:
    """A browser for all tests."""
    async with browser() as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def watch(chromium: Browser) -> AsyncIterator[Watch]:
    """What goes wrong in the pages of the test, which fails it at its end."""
    async with watched(chromium) as watch:
        yield watch


@pytest.fixture
def context(watch: Watch) -> BrowserContext:
    """The windows of the test."""
    return watch.context


#: How Chromium reports a handshake that failed, or that our client has given up.
HANDSHAKES = ("WebSocket connection to",)

#: For tests of what passes over the wire.
both_servers = pytest.mark.parametrize("server", ["daphne", "uvicorn"], indirect=True)


async def opened(context: BrowserContext, url: str) -> Page:
    """Open the demo page in a window, and wait for its streams."""
    page = await context.new_page()
    await page.goto(url)
    await expect(page.locator("#streams")).to_have_text("6")
    return page


async def emptied(context: BrowserContext, url: str) -> Page:
    """Open a window without the demo page."""
    page = await context.new_page()
    await page.route("**/favicon.ico", lambda route: route.fulfill(status=204))
    await page.goto(url + BARE)
    return page


async def script(page: Page, text: str, argument: Any = None) -> Any:
    """Run the body of an async function, with the argument `given`, after the prelude."""
    async with asyncio.timeout(PATIENCE):
        return await page.evaluate(f"async (given) => {{{PRELUDE}{text}}}", argument)


@pytest_asyncio.fixture(loop_scope="module")
async def bare(context: BrowserContext, url: str) -> Page:
    """A window for scripts."""
    return await emptied(context, url)


async def becomes(page: Page, condition: str) -> None:
    """Wait until an expression is true. Playwright's own wait needs a policy that allows eval."""
    async with asyncio.timeout(PATIENCE):
        await page.evaluate(
            "new Promise((resolve) => {"
            f"const look = () => ({condition}) ? resolve() : setTimeout(look, 20); look();"
            "})"
        )


def read_json(path: Path) -> Any:
    """Return what a file has."""
    return json.loads(path.read_text())


async def submit(page: Page, panel: str, text: str) -> None:
    """Send a panel's form by the Enter key."""
    await page.fill(f"{panel} input", text)
    await page.press(f"{panel} input", "Enter")


# The page.


@both_servers
async def test_two_rooms_in_two_windows(context: BrowserContext, url: str) -> None:
    """What is said in a room appears in it in both windows, and in no other room."""
    first, second = await opened(context, url), await opened(context, url)
    await submit(first, LOBBY, "from the first")
    await submit(second, KITCHEN, "from the second")
    for page in first, second:
        await expect(page.locator(f"{LOBBY} li")).to_have_count(1)
        await expect(page.locator(f"{LOBBY} li")).to_contain_text("from the first")
        await expect(page.locator(f"{KITCHEN} li")).to_have_count(1)
        await expect(page.locator(f"{KITCHEN} li")).to_contain_text("from the second")


async def test_articles(context: BrowserContext, url: str) -> None:
    """Each request shows its status, and the other window shows what has changed."""
    page, other = await opened(context, url), await opened(context, url)
    statuses = page.locator(".articles .statuses")
    await submit(page, ".articles", "A title")
    await expect(statuses).to_contain_text("201 articles.create")
    await expect(other.locator(".articles .list")).to_contain_text("A title")
    await submit(page, ".articles", "A title")
    await expect(statuses).to_contain_text("400 articles.create")
    await page.click(".missing")
    await expect(statuses).to_contain_text("404 articles.get")
    await page.get_by_role("button", name="Edit A title").click()
    await submit(page, ".articles", "Another title")
    await expect(other.locator(".articles .list")).to_contain_text("Another title")
    await other.get_by_role("button", name="Delete Another title").click()
    await expect(page.locator(".articles .list")).to_be_empty()


async def test_htmx(context: BrowserContext, url: str) -> None:
    """htmx's ws extension sends a form and swaps in HTML over a stream, in both windows."""
    page, other = await opened(context, url), await opened(context, url)
    await submit(page, "[data-stream=wall]", "<b>pinned</b>")
    for window in page, other:
        await expect(window.locator("#wall-notes li").first).to_have_text("<b>pinned</b>")
    await expect(page.locator("[data-stream=wall] input")).to_have_value("")


async def test_board(context: BrowserContext, url: str) -> None:
    """What is drawn in a window, by mouse or by keyboard, is drawn in the other."""
    page, other = await opened(context, url), await opened(context, url)
    inked = """
        (() => {
          const copy = new OffscreenCanvas(800, 600).getContext("2d");
          copy.drawImage(document.querySelector(".board canvas"), 0, 0);
          return copy.getImageData(0, 0, 800, 600).data.some((value) => value !== 0);
        })()
    """
    assert not await other.evaluate(inked)
    await page.bring_to_front()
    canvas = page.locator(".board canvas")
    await canvas.hover(position={"x": 20, "y": 20})
    await page.mouse.down()
    await canvas.hover(position={"x": 90, "y": 90})
    await page.mouse.up()
    await other.bring_to_front()
    await becomes(other, inked)
    await other.click(".board button")
    await becomes(other, f"!({inked})")
    await other.focus(".board canvas")
    for key in " ", "ArrowRight", "ArrowDown", " ":
        await other.keyboard.press(key)
    await page.bring_to_front()
    await becomes(page, inked)


async def test_chart_moves(context: BrowserContext, url: str) -> None:
    """The server pushes value after value."""
    page = await opened(context, url)
    value = page.locator(".chart output")
    seen = await value.text_content()
    await expect(value).not_to_have_text(seen or "")


@pytest.mark.parametrize(
    ("deed", "outcome"),
    [
        ("crash", "closed 1011 crash"),
        ("refuse", "closed 4401 refuse members only"),
        ("block", "closed 1000 block"),
    ],
)
async def test_trouble_of_one_stream(
    context: BrowserContext, url: str, deed: str, outcome: str
) -> None:
    """A stream that crashes, is refused or has blocked ends alone, and says how."""
    page = await opened(context, url)
    await page.click(f"[data-trouble={deed}]")
    await expect(page.locator(".trouble .statuses")).to_contain_text(outcome)
    await submit(page, LOBBY, "still here")
    await expect(page.locator(f"{LOBBY} li")).to_contain_text("still here")
    await expect(page.locator("#streams")).to_have_text("6")


async def test_blocked_sync_consumer(bare: Page) -> None:
    """While a sync consumer blocks its thread, a chat and the server's pushes go on."""
    await script(
        bare,
        """
        const socket = make();
        const streams = ["block", "chat/meanwhile/", "ticker"].map((name) => socket.stream(name));
        const [block, room, ticker] = streams;
        await Promise.all(streams.map((stream) => until(stream, "open")));
        let blocked = false;
        block.addEventListener("json", ({ data }) => (blocked = data.blocked));
        // Where the machine stands still for so long, it is over before all has been seen.
        while (!blocked) {
          block.sendJSON({ seconds: 3 });
          await until(block, "json");
          room.sendJSON({ message: "meanwhile" });
          await until(room, "message");
          for (let number = 0; number < 3; number++) await until(ticker, "message");
        }
        await until(block, "json");
        """,
    )


async def test_network_is_cut(context: BrowserContext, url: str, watch: Watch) -> None:
    """What is said without a network is sent when it is back."""
    page = await opened(context, url)
    watch.expected = ("[object Event]",)  # htmx tells of the loss of its socket, as of any
    await page.click("[data-trouble=cut]")
    await expect(page.locator("#state")).not_to_have_text("open")
    await submit(page, LOBBY, "kept")
    await page.click("[data-trouble=cut]")
    await expect(page.locator(f"{LOBBY} li")).to_contain_text("kept")
    await expect(page.locator("#streams")).to_have_text("6")


async def test_content_security_policy(context: BrowserContext, url: str, watch: Watch) -> None:
    """The page's policy lets no inline script run."""
    page = await opened(context, url)
    async with context.expect_console_message():
        await page.evaluate("""
            () => {
              const script = document.createElement("script");
              script.textContent = "window.ran = true";
              document.body.append(script);
            }
        """)
    assert await page.evaluate("window.ran") is None
    [fault] = watch.faults
    assert "Content Security Policy" in fault
    watch.faults.clear()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
async def test_accessibility(context: BrowserContext, url: str, width: int, scheme: Any) -> None:
    """axe finds nothing on the page: names, roles, contrast; and nothing is wider than it."""
    page = await opened(context, url)
    await page.emulate_media(color_scheme=scheme)
    await page.set_viewport_size({"width": width, "height": 850})
    await page.click("[data-trouble=crash]")
    await expect(page.locator(".trouble .statuses")).to_contain_text("1011")
    await page.evaluate(AXE_SCRIPT)
    found = await page.evaluate("axe.run()")
    violations = {
        violation["id"]: [node["html"] for node in violation["nodes"]]
        for violation in found["violations"]
    }
    assert not violations, json.dumps(violations, indent=1)
    assert await page.evaluate("document.documentElement.scrollWidth") <= width


async def test_keyboard(context: BrowserContext, url: str) -> None:
    """From the top of the page a keyboard reaches the inspector at once, and each control."""
    page = await opened(context, url)
    await page.keyboard.press("Tab")
    await page.keyboard.press("Enter")
    await expect(page).to_have_url(re.compile("#inspector$"))
    await page.reload()
    missing = {
        "Message to the lobby",
        "Message to the kitchen",
        "Title of a new article",
        "Text of a note",
        "Drawing board",
        "Cut the network",
        "Pause",
        "Streams",
    }
    # On the way are the lines of the inspector, of which there are more and more.
    for _ in range(600):
        await page.keyboard.press("Tab")
        missing.discard(
            await page.evaluate("""
                () => {
                  let at = document.activeElement;
                  while (at.shadowRoot?.activeElement) at = at.shadowRoot.activeElement;
                  return at.ariaLabel ?? at.textContent;
                }
            """)
        )
        if not missing:
            break
    assert not missing


# The inspector.


async def test_inspector_shows_frames(context: BrowserContext, url: str) -> None:
    """Each frame has a line with what it is, which unfolds; each stream has its state."""
    page = await opened(context, url)
    await submit(page, LOBBY, "look")
    await page.fill("#inspector input", "look")
    sent = page.locator("#inspector details").filter(has=page.get_by_label("sent"))
    await expect(sent).to_have_count(1)
    await expect(sent.locator("summary")).to_contain_text("chat/lobby/")
    await expect(sent.locator("pre")).to_have_count(0)
    await sent.locator("summary").press("Enter")
    await expect(sent.locator("pre")).to_contain_text('"payload": {')
    row = page.locator("#inspector tr", has_text="wall#1")
    await expect(row).to_contain_text("open")
    hue = "(element) => getComputedStyle(element).color"
    name = row.locator("td").first
    assert await name.evaluate(hue) != await sent.locator(".stream").first.evaluate(hue)


async def test_inspector_pauses_filters_clears_and_exports(
    context: BrowserContext, url: str
) -> None:
    """The inspector can be paused, narrowed to a stream, emptied, and saved to a file."""
    page = await opened(context, url)
    lines = page.locator("#inspector details")
    await submit(page, LOBBY, "one")
    await page.fill("#inspector input", "chat/lobby/")
    await expect(lines).to_have_count(4)  # open, its answer, and a message both ways
    await page.get_by_role("button", name="Pause").click()
    await submit(page, LOBBY, "two")
    await expect(page.locator(f"{LOBBY} li")).to_have_count(2)
    await expect(lines).to_have_count(4)
    await page.get_by_role("button", name="Pause").click()
    await expect(lines).to_have_count(6)
    async with page.expect_download() as saving:
        await page.get_by_role("button", name="Export").click()
    saved = read_json(await (await saving.value).path())
    assert [(frame["direction"], frame["kind"]) for frame in saved] == [
        ("out", "open"),
        ("in", "open"),
        *[("out", "payload"), ("in", "payload")] * 2,
    ]
    assert {frame["stream"] for frame in saved} == {"chat/lobby/"}
    await page.get_by_role("button", name="Clear").click()
    await expect(lines).to_have_count(0)


async def test_inspector_is_bounded(bare: Page) -> None:
    """The inspector keeps the latest 500 frames, and the beginning of a large one."""
    found = await script(
        bare,
        """
        const { inspect } = await import("/static/channels_demultiplexer/inspector.js");
        const socket = make();
        const { element, recording, stop } = inspect(socket);
        const room = socket.stream("chat/bound/");
        await until(room, "open");
        for (let number = 0; number < 600; number++) room.sendJSON({ message: number });
        room.send(JSON.stringify({ message: "x".repeat(100_000) }));
        await new Promise((resolve) => room.addEventListener(
          "json", ({ data }) => data.message.length === 100_000 && resolve()));
        await new Promise(requestAnimationFrame);
        await new Promise(requestAnimationFrame);
        const last = recording.entries.at(-1);
        const found = [
          recording.entries.length,
          element.shadowRoot.querySelectorAll("details").length,
          last.content.length, last.size > 100_000, last.number > 1200,
        ];
        stop();
        return [...found, element.isConnected];
        """,
    )
    assert found == [500, 500, 16_384, True, True, False]


async def test_inspector_runs_nothing(bare: Page) -> None:
    """Markup in a frame or in a stream's name is shown as text, where no policy helps."""
    hostile = '<img src=x onerror="window.ran = true"><script>window.ran = true</script>'
    shown = await script(
        bare,
        """
        const { inspect } = await import("/static/channels_demultiplexer/inspector.js");
        const socket = make();
        const { element } = inspect(socket);
        const room = socket.stream("chat/hostile/?" + given);
        await until(room, "open");
        room.sendJSON({ message: given });
        await until(room, "message");
        await new Promise(requestAnimationFrame);
        await new Promise(requestAnimationFrame);
        const root = element.shadowRoot;
        for (const summary of root.querySelectorAll("summary")) summary.click();
        await new Promise((resolve) => setTimeout(resolve));
        await new Promise(requestAnimationFrame);
        return [root.querySelectorAll("img, script").length, root.textContent];
        """,
        hostile,
    )
    assert shown[0] == 0
    assert shown[1].count(hostile) >= 4
    assert await bare.evaluate("window.ran") is None


# The client.


@both_servers
async def test_binary(bare: Page) -> None:
    """Bytes go both ways in order, given as a buffer, a view or a Blob."""
    received = await script(
        bare,
        """
        const board = make().stream("board");
        board.binaryType = "arraybuffer";
        const bytes = [];
        const all = new Promise((resolve) => board.addEventListener("message", ({ data }) => {
          bytes.push([...new Uint8Array(data)]);
          if (bytes.length === 4) resolve();
        }));
        const whole = Uint8Array.of(0, 1, 254, 255);
        board.send(whole.buffer);
        board.send(new Blob([whole]));
        board.send(whole.subarray(1, 3));
        board.send(new Uint8Array());
        await all;
        return bytes;
        """,
    )
    assert received == [[0, 1, 254, 255], [0, 1, 254, 255], [1, 254], []]


@both_servers
async def test_streams_that_do_not_open(bare: Page) -> None:
    """A stream that is refused closes with the consumer's code, an unknown one with 4404."""
    closed = await script(
        bare,
        """
        const socket = make();
        const ends = [];
        for (const name of ["refuse", "nowhere"]) {
          const stream = socket.stream(name);
          const { code, reason, wasClean } = await until(stream, "close");
          ends.push([code, reason.slice(0, 12), stream.readyState]);
        }
        return [...ends, socket.state];
        """,
    )
    assert closed[0] == [4401, "members only", 3]
    assert closed[1][0] == 4404
    assert closed[2] == "open"


@both_servers
async def test_requests(bare: Page) -> None:
    """A request is answered with its status, and gives up on a timeout, an abort, and the end."""
    outcomes = await script(
        bare,
        """
        const socket = make();
        const articles = socket.stream("articles");
        const named = (promise) =>
          promise.then(({ ok, status }) => [ok, status], ({ name }) => name);
        const outcomes = [
          await named(articles.request("articles.list")),
          await named(articles.request("articles.get", { id: -1 })),
          await named(articles.request("articles.nothing")),
        ];
        const ticker = socket.stream("ticker"); // which answers nothing
        const late = named(ticker.request("articles.list", null, { timeout: 200 }));
        const controller = new AbortController();
        const { signal } = controller;
        const aborted = named(articles.request("articles.list", null, { signal }));
        controller.abort();
        outcomes.push(await late, await aborted);
        const lost = named(articles.request("articles.list"));
        socket.reconnect();
        outcomes.push(await lost, await named(articles.request("articles.list")));
        return outcomes;
        """,
    )
    assert outcomes == [
        [True, 200],
        [False, 404],
        [False, 404],
        "TimeoutError",
        "AbortError",
        "NetworkError",
        [True, 200],
    ]


@both_servers
async def test_stalled_stream_is_alone(bare: Page) -> None:
    """While 10,000 frames wait for a stream that takes none, another answers; then all arrive."""
    taken = await script(
        bare,
        """
        const socket = make();
        const stalled = socket.stream("stall", { buffer: 1 << 24 });
        const room = socket.stream("chat/beside/");
        await Promise.all([until(stalled, "open"), until(room, "open")]);
        stalled.sendJSON({ sleep: 2 });
        for (let number = 0; number < 9_998; number++) stalled.sendJSON({ number });
        stalled.sendJSON({ count: true });
        const answer = until(stalled, "json");
        const waiting = stalled.bufferedAmount > 0;
        let rounds = 0;
        let done = false;
        answer.then(() => (done = true));
        for (let number = 0; number < 20; number++) {
          room.sendJSON({ message: `${number}` });
          await until(room, "message");
          if (!done) rounds += 1;
        }
        return [waiting, rounds, (await answer).data.taken];
        """,
    )
    assert taken == [True, 20, 10_000]


@both_servers
async def test_server_is_restarted(
    server: Server, environment: dict[str, str], context: BrowserContext, watch: Watch
) -> None:
    """When the server was killed and is back, streams are open again and what waited is sent."""
    with serve(server.name, APPLICATION, env=environment) as first:
        network = Network(first.port)
        async with network.connected() as address:
            page = await emptied(context, address)
            await script(
                page,
                """
                const socket = make({ maxDelay: 200 });
                window.log = [];
                for (const name of ["lobby", "kitchen"]) {
                  const room = (window[name] = socket.stream(`chat/${name}/`));
                  room.addEventListener("json", ({ data }) => log.push(`${name}: ${data.message}`));
                  await until(room, "open");
                }
                lobby.sendJSON({ message: "before" });
                await until(lobby, "json");
                """,
            )
            watch.expected = HANDSHAKES
            await asyncio.to_thread(first.kill)
            await becomes(page, "socket.state !== 'open'")
            await page.evaluate("""
                for (const number of [1, 2, 3]) {
                  lobby.sendJSON({ message: `away ${number}` });
                  kitchen.sendJSON({ message: `away ${number}` });
                }
            """)
            with serve(server.name, APPLICATION, env=environment) as second:
                network.target = second.port
                await becomes(page, "log.length === 7")
                log = await page.evaluate("log")
                await page.evaluate("socket.close()")
    for name in "lobby", "kitchen":
        away = [line for line in log if line.startswith(f"{name}: away")]
        assert away == [f"{name}: away {number}" for number in (1, 2, 3)]
    assert log[0] == "lobby: before"


@both_servers
async def test_connection_dies_without_a_word(
    server: Server, context: BrowserContext, watch: Watch
) -> None:
    """A connection through which nothing comes any more is found and replaced."""
    network = Network(server.port)
    watch.expected = HANDSHAKES
    async with network.connected() as address:
        page = await emptied(context, address)
        await script(
            page,
            """
            const impatient = { heartbeat: 300, pongTimeout: 1_000, handshakeTimeout: 1_000 };
            const socket = make({ ...impatient, maxDelay: 100 });
            window.room = socket.stream("chat/dead/");
            window.heard = [];
            window.found = false;
            room.addEventListener("json", ({ data }) => heard.push(data.message));
            await until(room, "open");
            socket.addEventListener("reconnecting", ({ code, reason }) => {
              if (`${code} ${reason}` === "1006 no answer to a ping") window.found = true;
            });
            """,
        )
        network.silent = True
        await becomes(page, "found && socket.state !== 'open'")
        # On a machine that stands still a living connection looks dead too, and what has been sent
        # over it is lost: so the page says it until it is heard.
        await page.evaluate("""
            window.saying = setInterval(() => room.sendJSON({ message: "after" }), 50)
        """)
        network.silent = False
        await becomes(page, "heard.includes('after')")
        await page.evaluate("clearInterval(saying), socket.close()")
