"""Reports as Markdown and as pages of HTML that need nothing but themselves."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from nunext_training.evaluation.tables import cell_text
from nunext_training.reports.drawings import BLUE, GREEN, VERMILION

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nunext_training.evaluation.tables import Table

_STYLE = f"""
body {{ font: 15px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem;
  color: #222; background: #fff }}
table {{ border-collapse: collapse; margin: .5rem 0 1.5rem }}
th, td {{ padding: .2rem .7rem; border-bottom: 1px solid #ddd; text-align: right }}
th:first-child, td:first-child {{ text-align: left }}
tr:last-child td {{ border-bottom: 2px solid #888 }}
.plots, .tiles {{ display: flex; flex-wrap: wrap; gap: 1rem }}
.plot {{ width: 420px }} figure {{ width: 340px; margin: 0 }}
.tile {{ width: 100%; display: block }}
.title {{ font: 600 13px system-ui; text-anchor: middle }}
.axis, .tick {{ font: 11px system-ui; text-anchor: middle; fill: #444 }} .end {{ text-anchor: end }}
.frame {{ fill: none; stroke: #888 }} .guide {{ stroke: #bbb; stroke-dasharray: 4 3 }}
.line {{ fill: none; stroke: {BLUE}; stroke-width: 1.5 }} .dot {{ fill: {BLUE}; fill-opacity: .7 }}
.mark {{ stroke: {VERMILION} }} .diamond {{ fill: {VERMILION} }}
.tp {{ color: {GREEN} }} .fp {{ color: {VERMILION} }} .fn {{ color: {BLUE} }}
"""


def markdown(title: str, notes: Sequence[str], tables: Sequence[Table]) -> str:
    """A title, notes as bullets, and tables."""
    bullets = "\n".join(f"- {note}" for note in notes)
    return f"# {title}\n\n{bullets}\n\n" + "\n".join(table.to_markdown() for table in tables)


def page(title: str, notes: Sequence[str], parts: Sequence[str]) -> str:
    """A page with a title, notes as bullets, and parts that are HTML already."""
    return "\n".join(
        [
            '<!doctype html><html lang="en"><head><meta charset="utf-8">',
            f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body>",
            f"<h1>{escape(title)}</h1><ul>",
            *(f"<li>{escape(note)}</li>" for note in notes),
            "</ul>",
            *parts,
            "</body></html>\n",
        ]
    )


def html_table(table: Table) -> str:
    """A table under its title."""
    head = "".join(f"<th>{escape(name)}</th>" for name in table.header)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(cell_text(cell))}</td>" for cell in row) + "</tr>"
        for row in table.rows
    )
    return (
        f"<h3>{escape(table.title)}</h3><table><thead><tr>{head}</tr></thead>"
        f"<tbody>{body}</tbody></table>"
    )
