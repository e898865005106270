#!/usr/bin/env python
"""
Take the pictures of the demo page: desktop and phone, light and dark.

Serves the example itself, with a database of its own. Needs Chromium (Debian: `apt install
chromium`) and, from PyPI, playwright and pillow.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

HERE = Path(__file__).resolve().parent
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
ARGUMENTS += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
SIZES = {"desktop": (1440, 1330), "phone": (390, 844)}


@contextlib.contextmanager
def served() -> Iterator[str]:
    """Serve the example on a free port until the block ends, and give its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as directory:
        env = {**os.environ, "EXAMPLE_DATABASE": f"{directory}/db.sqlite3"}
        options = {"cwd": HERE, "env": env, "check": True}
        subprocess.run([sys.executable, "manage.py", "migrate", "--verbosity", "0"], **options)
        server = subprocess.Popen(
            [sys.executable, "-m", "daphne", "-v", "0", "-p", str(port), "mysite.asgi:application"],
            cwd=HERE,
            env=env,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            while server.poll() is None:
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                    break
                time.sleep(0.05)
            yield f"http://127.0.0.1:{port}/"
        finally:
            server.terminate()
            server.wait()


def populate(page: Page, other: Page) -> None:
    """Do in two windows what visitors do, for a picture that shows something."""
    for window in page, other:
        window.wait_for_selector("#state[data-state=open]")
    page.wait_for_timeout(8_000)  # until the chart has something to show

    def submit(window: Page, panel: str, text: str) -> None:
        window.fill(f"{panel} input", text)
        window.press(f"{panel} input", "Enter")
        page.get_by_text(text).last.wait_for()
        page.wait_for_timeout(300)

    draw(page)
    lobby, kitchen = '[data-stream="chat/lobby/"]', '[data-stream="chat/kitchen/"]'
    submit(page, lobby, "Morning!")
    submit(other, lobby, "Morning. Is the kitchen another socket?")
    submit(page, lobby, "No. Look below: the same one.")
    for text in "Streams are WebSockets", "A stalled one is alone", "Credit, not luck":
        submit(page, ".articles", text)
    submit(page, ".articles", "Credit, not luck")
    page.click(".missing")
    for text in "buy milk", "ring the plumber", "HTML over a stream", "htmx, unmodified":
        submit(other, "[data-stream=wall]", text)
    page.click("[data-trouble=crash]")
    submit(other, kitchen, "Did something crash?")
    submit(page, kitchen, "Yes. Everything else goes on.")
    page.mouse.move(0, 0)
    page.evaluate("scrollTo(0, 0); document.activeElement.blur()")
    page.wait_for_timeout(700)


def draw(page: Page) -> None:
    """Draw a cable with four strands."""
    page.bring_to_front()  # movements wait for frames, which a page behind another draws seldom
    canvas = page.locator(".board canvas")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    assert box is not None
    for strand in range(4):
        start = 0.2 + 0.2 * strand
        for step in range(25):
            along = step / 24
            bend = min(max((along - 0.15) / 0.45, 0), 1)
            bend = bend * bend * (3 - 2 * bend)
            x = box["x"] + box["width"] * (0.06 + 0.88 * along)
            y = box["y"] + box["height"] * (start + (0.46 + 0.027 * strand - start) * bend)
            page.mouse.move(x, y)
            if step == 0:
                page.mouse.down()
        page.mouse.up()


def save(page: Page, path: Path) -> None:
    """Save what is seen, in as few bytes as a palette allows."""
    image = Image.open(io.BytesIO(page.screenshot()))
    image.convert("RGB").quantize(192, dither=Image.Dither.NONE).save(path, optimize=True)


def main(directory: Path) -> None:
    """Take all pictures."""
    chromium = shutil.which("chromium") or sys.exit("there is no chromium on PATH")
    with served() as url, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        for device, (width, height) in SIZES.items():
            context = browser.new_context(
                viewport={"width": width, "height": height}, device_scale_factor=1.5
            )
            page, other = context.new_page(), context.new_page()
            for window in page, other:
                window.goto(url)
            populate(page, other)
            for scheme in "light", "dark":
                page.emulate_media(color_scheme=scheme)
                page.wait_for_timeout(400)
                save(page, directory / f"demo-{device}-{scheme}.png")
            context.close()
        browser.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument("directory", type=Path, nargs="?", default=HERE.parent / "docs/_static")
    main(parser.parse_args().directory)
