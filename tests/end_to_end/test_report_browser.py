"""The report in a real browser: nothing is refused or logged, nothing runs over the edge of a phone."""

from __future__ import annotations

import html
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from testbed.report import write_report

sys.path.append(str(Path(__file__).parent.parent / "unit"))
from report_runs import HOSTILE, normal_run

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
OPTIONS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--enable-logging=stderr"),
)
MEASURE = """<!doctype html><body>
<iframe id="page" style="border:0;width:{width}px;height:900px" srcdoc="{page}"></iframe>
<pre id="found"></pre><script>
const frame = document.getElementById("page");
frame.onload = () => {{
  const root = frame.contentDocument.documentElement;
  document.getElementById("found").textContent =
    `scroll=${{root.scrollWidth}} client=${{root.clientWidth}} charts=${{root.querySelectorAll("svg").length}}`;
}};
</script></body>"""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine"),
]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_report(normal_run(tmp_path_factory.mktemp("run"), text=HOSTILE)).read_text(encoding="utf-8")


def load(path: Path, profile: Path) -> tuple[str, list[str]]:
    """(document after loading, console messages) of a local file."""
    command = [str(BROWSER), *OPTIONS, f"--user-data-dir={profile}", "--dump-dom", path.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]


def widths(page: str, width: int, folder: Path) -> tuple[int, int, int]:
    """(width that the content takes, width that is there, charts) in a frame of `width` pixels."""
    path = folder / "frame.html"
    path.write_text(MEASURE.format(width=width, page=html.escape(page)), encoding="utf-8")
    found = re.search(r"scroll=(\d+) client=(\d+) charts=(\d+)", load(path, folder / "profile")[0])
    assert found is not None
    return int(found[1]), int(found[2]), int(found[3])


def test_nothing_is_logged_or_refused(page: str, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text(page, encoding="utf-8")
    document, messages = load(path, tmp_path / "profile")
    assert messages == []
    assert document.count("<svg") > 12


def test_the_policy_refuses_what_would_run(page: str, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    bad = "<script>document.title = 'ran'</script><img src='http://127.0.0.1:9/x.png'></body>"
    path.write_text(page.replace("</body>", bad), encoding="utf-8")
    document, messages = load(path, tmp_path / "profile")
    assert "<title>ran" not in document
    assert any("Content Security Policy" in message for message in messages)


@pytest.mark.parametrize("width", [390, 320, 768])
def test_nothing_runs_over_the_edge(page: str, width: int, tmp_path: Path) -> None:
    taken, there, charts = widths(page.replace("<details>", "<details open>"), width, tmp_path)
    assert charts > 12
    assert there in range(width - 20, width + 1)
    assert taken <= there


def test_something_that_runs_over_the_edge_is_found(page: str, tmp_path: Path) -> None:
    wide = page.replace("</main>", '<div style="width: 700px">wide</div></main>')
    taken, there, _ = widths(wide, 390, tmp_path)
    assert taken > there
