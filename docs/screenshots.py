"""Screenshots of the pages of a finished preset for the guides: `make docs-images`.

    python docs/screenshots.py results/demo docs/images

The browser is Chromium of the system, or ``CHROMIUM=path``; `make test-pages` installs the driver.
"""

import argparse
import os
import shutil
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

# Name: page below the results, width and height in CSS pixels, and what is scrolled to.
SHOTS = {
    "report": ("report.html", 1280, 1000, None),
    "report-tables": ("report.html", 1280, 480, "#rank-sort-rcnn"),
    "report-phone": ("report.html", 390, 844, "#figures"),
    "run": ("{run}/run.html", 1280, 1000, None),
    "run-samples": ("{run}/run.html", 1280, 600, "#samples"),
}


def main() -> int:
    """Write every screenshot; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path, help="the folder with report.html")
    parser.add_argument("out", type=Path)
    parser.add_argument("--run", help="the run that is shown; default: the first")
    options = parser.parse_args()
    pages = sorted(options.results.rglob("run.html"))
    if not pages or not (options.results / "report.html").is_file():
        print(f"expected report.html and run.html in {options.results}: make demo", file=sys.stderr)
        return 1
    run = options.run or _shown([page.parent.relative_to(options.results) for page in pages])
    browser = os.environ.get("CHROMIUM") or shutil.which("chromium") or "google-chrome"
    options.out.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        for name, (path, width, height, place) in SHOTS.items():
            view = opened.new_context(
                viewport={"width": width, "height": height}, color_scheme="light"
            )
            page = view.new_page()
            page.goto((options.results / path.format(run=run)).resolve().as_uri())
            if place:
                page.locator(place).evaluate("each => each.scrollIntoView()")
            page.screenshot(path=options.out / f"{name}.png")
            view.close()
        opened.close()
    return 0


def _shown(runs: list[Path]) -> str:
    """Return the first run of the row that README names, or else the first of all."""
    return next((run for run in runs if run.parts[0] == "rs_atss_r50"), runs[0]).as_posix()


if __name__ == "__main__":
    sys.exit(main())
