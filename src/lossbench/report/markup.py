"""HTML that escapes whatever it is given: names in a record are written by users."""

from __future__ import annotations

import base64
import hashlib
import html
import json
from typing import Any

_VOID = ("meta", "img", "line", "path")


class Markup(str):
    """Text that is HTML already; everything else is escaped."""

    __slots__ = ()


def tag(name: str, /, *content: Any, **attributes: Any) -> Markup:
    """An element. ``class_`` is class, ``data_value`` data-value; None and False leave an attribute out.

    >>> tag("td", "a < b", class_="number", hidden=True)
    '<td class="number" hidden>a &lt; b</td>'
    """
    given = [(key.strip("_").replace("_", "-"), value) for key, value in attributes.items()]
    told = "".join(
        f" {key}" if value is True else f' {key}="{html.escape(str(value))}"'
        for key, value in given
        if value is not None and value is not False
    )
    if name in _VOID:
        return Markup(f"<{name}{told}/>")
    return Markup(f"<{name}{told}>{join(*content)}</{name}>")


def join(*content: Any) -> Markup:
    """One piece of HTML from several; None is nothing."""
    pieces = (piece for piece in content if piece is not None)
    return Markup("".join(p if isinstance(p, Markup) else html.escape(str(p)) for p in pieces))


def scrolling(table: Markup, label: str) -> Markup:
    """A wide table that moves inside the page; focusable, so that a keyboard can move it."""
    return tag("div", table, class_="wide", role="region", aria_label=label, tabindex=0)


def data_block(name: str, value: Any) -> Markup:
    """JSON for a script of the page; NaN is a ValueError."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    # Inside a script element no entity is decoded, and "</script" or "<!--" in a name would end or bend it.
    text = text.replace("<", "\\u003c")
    return Markup(f'<script type="application/json" id="{name}">{text}</script>')


def source_hash(text: str) -> str:
    """How a Content-Security-Policy names the one inline script or style that it allows."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
