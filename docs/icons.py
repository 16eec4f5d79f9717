"""Make the icons that systems want as PNG from static/icon.svg.

    .venv/bin/python docs/icons.py

Needs Chromium (Debian: chromium-headless-shell).
"""

import base64
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.support.browser import launched  # noqa: E402

STATIC = ROOT / "static"
#: The side in pixels, how much of it the picture takes, and the paper behind it. Systems cut their
#: own shape out of a maskable icon, but never more than what is outside of its inner 80 %.
ICONS = {
    "icon-192.png": (192, 1.0, "transparent"),
    "icon-512.png": (512, 1.0, "transparent"),
    "icon-maskable.png": (512, 0.6, "#f4f2ed"),
    "apple-touch-icon.png": (180, 0.72, "#f4f2ed"),
}


def main() -> None:
    picture = base64.b64encode((STATIC / "icon.svg").read_bytes()).decode()
    with launched() as browser:
        for name, (side, share, paper) in ICONS.items():
            page = browser.new_page(viewport={"width": side, "height": side})
            page.set_content(
                f'<body style="margin: 0; height: {side}px; display: grid; place-items: center;'
                f' background: {paper}"><img width="{side * share}"'
                f' src="data:image/svg+xml;base64,{picture}">'
            )
            page.screenshot(path=STATIC / name, omit_background=True)
            page.close()


if __name__ == "__main__":
    main()
