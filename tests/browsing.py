"""A real browser for the tests of pages; they are skipped where Chromium, its driver or Selenium is not installed."""

import json
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

webdriver = pytest.importorskip("selenium.webdriver", reason="no selenium")

CHROMIUM, DRIVER = (shutil.which(name) for name in ("chromium", "chromedriver"))

needs_browser = [
    pytest.mark.slow,
    pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="no chromium and chromedriver"),
]

FLAGS = """--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking
    --disable-component-update --disable-sync"""


@contextmanager
def started(folder: Path, *flags: str) -> Iterator:
    """A browser that keeps its profile and what it downloads in a folder, and logs what it asks for."""
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in (*FLAGS.split(), f"--user-data-dir={folder / 'profile'}", *flags):
        options.add_argument(flag)
    options.add_experimental_option("prefs", {"download.default_directory": str(folder)})
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    browser = webdriver.Chrome(options, webdriver.ChromeService(DRIVER))
    yield browser
    browser.quit()


class Page:
    """A page as a person handles it."""

    def __init__(self, browser) -> None:
        self.browser = browser

    def until(self, condition) -> None:
        end_s = time.monotonic() + 20
        while not condition():
            assert time.monotonic() < end_s
            time.sleep(0.02)

    def run(self, script: str, *arguments):
        return self.browser.execute_script(script, *arguments)

    def press(self, *keys: str) -> None:
        self.browser.switch_to.active_element.send_keys(*keys)

    def emulate(self, command: str, **values) -> None:
        self.browser.execute_cdp_cmd(f"Emulation.{command}", values)

    def asked(self) -> list[str]:
        """The addresses that were asked for since this was called last."""
        events = (json.loads(entry["message"])["message"] for entry in self.browser.get_log("performance"))
        return [event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"]


def luminance(colour: str) -> float:
    """Source: WCAG 2.2, relative luminance."""
    channels = [int(number) / 255 for number in colour.removeprefix("rgb(").removesuffix(")").split(",")]
    linear = [channel / 12.92 if channel <= 0.04045 else ((channel + 0.055) / 1.055) ** 2.4 for channel in channels]
    return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))
