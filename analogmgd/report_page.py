"""A page of HTML that needs nothing but itself: sections of texts, facts, tables and pictures; texts are escaped."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Protocol

MANY = 10  # columns of a table, from which it is printed small
STYLE = """
:root { color-scheme: light dark; --ink: #1c2024; --faint: #5b6570; --line: #d8dde2; --back: #fff; --raised: #f5f7f9; --link: #0b5cad; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e4e7ea; --faint: #9aa4ae; --line: #373e45; --back: #15181b; --raised: #1f2428; --link: #7ab8f5; }
  img { filter: brightness(.88); }
}
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 72rem; padding: 1.5rem clamp(.8rem, 3vw, 2.5rem) 4rem; background: var(--back);
  color: var(--ink); font: 16px/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.7rem; line-height: 1.25; margin: 0 0 .3rem; }
h2 { font-size: 1.3rem; margin: 2.5rem 0 .4rem; padding-top: 1rem; border-top: 1px solid var(--line); }
h3 { font-size: 1rem; margin: 1.4rem 0 .4rem; }
p { margin: .5rem 0; max-width: 48rem; }
a { color: var(--link); }
.faint, figcaption { color: var(--faint); font-size: .9rem; }
nav ol { padding-left: 1.4rem; margin: .6rem 0; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .15rem 1.2rem; margin: .8rem 0; }
dt { color: var(--faint); }
dd { margin: 0; white-space: pre-line; }
.wide { overflow-x: auto; margin: .6rem 0; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; overflow-wrap: normal; }
th, td { text-align: left; padding: .25rem 1.4rem .25rem 0; border-bottom: 1px solid var(--line); white-space: nowrap; vertical-align: top; }
th { font-weight: 600; }
td.long { white-space: normal; min-width: 18rem; }
figure { margin: 1rem 0; }
figure img { display: block; width: 100%; min-width: 40rem; height: auto; background: #fff; border-radius: 6px; }
figure.narrow img { width: auto; max-width: 100%; min-width: min(24rem, 100%); }
details { margin: .5rem 0; }
summary { cursor: pointer; color: var(--link); }
pre { background: var(--raised); padding: .8rem 1rem; border-radius: 6px; overflow-x: auto; font: .85rem/1.45 ui-monospace, monospace;
  overflow-wrap: normal; }
@media (max-width: 36rem) { dl { grid-template-columns: 1fr; gap: 0; } dd { margin-bottom: .4rem; } }
@media print {
  :root { --ink: #000; --faint: #444; --line: #bbb; --back: #fff; --raised: #f5f7f9; --link: #000; }
  body { max-width: none; padding: 0; font-size: 10pt; }
  .wide { overflow: visible; } table { font-size: 8pt; } th, td { white-space: normal; padding-right: .6rem; }
  table.many { font-size: 5.5pt; } .many th, .many td { padding-right: .3rem; }
  figure img { min-width: 0; max-width: 100%; filter: none; }
  figure, tr { break-inside: avoid; } h2, h3 { break-after: avoid; }
}
"""  # noqa: E501
# a browser would refuse to load anything, if there were anything to load
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


class Part(Protocol):
    """What a section is made of."""

    def html(self) -> str: ...


@dataclass(frozen=True)
class Paragraph:
    """A text."""

    text: str

    def html(self) -> str:
        return f"<p>{escape(self.text)}</p>"


@dataclass(frozen=True)
class Heading:
    """Of a part of a section."""

    text: str

    def html(self) -> str:
        return f"<h3>{escape(self.text)}</h3>"


@dataclass(frozen=True)
class Facts:
    """Names and values; those without a value are left out."""

    rows: Sequence[tuple[str, str]]

    def html(self) -> str:
        lines = (f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in self.rows if value)
        return "<dl>\n" + "\n".join(lines) + "\n</dl>"


@dataclass(frozen=True)
class Table:
    """A table with a head; wider than the window, it scrolls.

    >>> Table(["key", "<b>"], [["1", "2"]]).html().splitlines()[-2]
    '<tr><td>1</td><td>2</td></tr></tbody>'
    """

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str = ""

    def html(self) -> str:
        head = "".join(f'<th scope="col">{escape(text)}</th>' for text in self.head)
        rows = ("".join(self._cell(text) for text in row) for row in self.rows)
        body = "\n".join(f"<tr>{row}</tr>" for row in rows)
        kind = ' class="many"' * (len(self.head) > MANY)
        table = f"<table{kind}>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}</tbody>\n</table>"
        if not self.caption:
            return f'<div class="wide" tabindex="0">{table}</div>'
        caption = escape(self.caption)  # outside of what scrolls
        wide = f'<div class="wide" tabindex="0" role="region" aria-label="{caption}">{table}</div>'
        return f'<p class="faint">{caption}</p>\n{wide}'

    @staticmethod
    def _cell(text: str) -> str:
        kind = ' class="long"' * (len(text) > 60)
        return f"<td{kind}>{escape(text)}</td>"


@dataclass(frozen=True)
class Figure:
    """A picture, PNG, with the words that stand for it; `narrow` ones are not drawn as wide as the page."""

    png: bytes
    alt: str
    caption: str = ""
    narrow: bool = False

    def html(self) -> str:
        data = base64.b64encode(self.png).decode()
        picture = f'<img src="data:image/png;base64,{data}" alt="{escape(self.alt)}">'
        caption = f"<figcaption>{escape(self.caption)}</figcaption>" if self.caption else ""
        kind = ' class="narrow"' * self.narrow
        return f'<figure{kind}><div class="wide" tabindex="0">{picture}</div>{caption}</figure>'


@dataclass(frozen=True)
class Folded:
    """A long text as it is, unfolded by a click."""

    title: str
    text: str

    def html(self) -> str:
        return f"<details><summary>{escape(self.title)}</summary><pre>{escape(self.text)}</pre></details>"


@dataclass(frozen=True)
class Section:
    """A part of the page with a place in its contents.

    title : of it; about : beside it in the contents, a few words
    """

    title: str
    about: str = ""
    parts: Sequence[Part] = field(default_factory=tuple)


def page(title: str, about: str, sections: Sequence[Section]) -> str:
    """The whole page; with more than one section it has a table of contents.

    >>> "&lt;script&gt;" in page("<script>", "", [Section("a", "", [Paragraph("b")])])
    True
    """
    body = []
    if len(sections) > 1:
        lines = (
            f'<li><a href="#part-{n}">{escape(one.title)}</a>'
            + (f' <span class="faint">{escape(one.about)}</span>' if one.about else "")
            + "</li>"
            for n, one in enumerate(sections, 1)
        )
        body.append('<nav aria-label="Contents"><ol>\n' + "\n".join(lines) + "\n</ol></nav>")
    for n, one in enumerate(sections, 1):
        faint = f'<p class="faint">{escape(one.about)}</p>' if one.about else ""
        parts = "\n".join(part.html() for part in one.parts)
        body.append(f'<section id="part-{n}">\n<h2>{escape(one.title)}</h2>\n{faint}\n{parts}\n</section>')
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<title>{escape(title)}</title>
<style>{STYLE}</style>
</head>
<body>
<header><h1>{escape(title)}</h1><p class="faint">{escape(about)}</p></header>
{chr(10).join(body)}
</body>
</html>
"""
