"""What answers are worth against what they cost: tables, and a plot for documents."""

from __future__ import annotations

import math
from html import escape
from typing import TYPE_CHECKING

from nunext_training.evaluation.answering.budgets import kinds_table, spending_table
from nunext_training.reports.drawings import BLUE, VERMILION, Axis
from nunext_training.reports.pages import html_table, markdown, page
from nunext_training.runs.files import write_json, write_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path
    from typing import Any

    from nunext_training.evaluation.answering.budgets import Spending

WIDTH, HEIGHT = 640, 400
LEFT, RIGHT, TOP, BOTTOM = 60, 20, 20, 48
_TEXT = 'font-family="system-ui, sans-serif" font-size="12"'
INK, FAINT = "#222", "#ddd"


def write_spending(
    spent: Sequence[Spending], notes: Sequence[str], of: Mapping[str, Any], folder: Path
) -> None:
    """Write ``report.json``, ``.md``, ``.html`` and the plot ``pareto.svg`` into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    title = "Image tokens and what they buy"
    tables = [spending_table(spent), kinds_table(spent)]
    drawn = pareto_svg(spent)
    write_json(folder / "report.json", {**of, "ways": [each.to_json() for each in spent]})
    write_text(folder / "report.md", markdown(title, notes, tables))
    write_text(folder / "pareto.svg", drawn)
    parts = [f"<figure style='width:{WIDTH}px'>{drawn}</figure>", *map(html_table, tables)]
    write_text(folder / "report.html", page(title, notes, parts))


def pareto_svg(spent: Sequence[Spending]) -> str:
    """Reward against image tokens, the latter by their logarithm, with intervals.

    The same budget for all is blue and joined; everything else is vermilion, a diamond. It stands
    alone: a white ground, no style from outside, nothing fetched.
    """
    places = _Places(spent)
    fixed = [each for each in spent if each.is_fixed]
    parts = [f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>', *_frame(places)]
    if fixed:
        line = "L".join("{:.1f} {:.1f}".format(*places.at(each)) for each in fixed)
        parts.append(f'<path d="M{line}" fill="none" stroke="{BLUE}" stroke-width="1.5"/>')
    for each in spent:
        parts += _marked(each, places)
    parts += _names(spent, places)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" '
        f'viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="Reward against image tokens">'
        + "\n".join(parts)
        + "</svg>\n"
    )


class _Places:
    """Where tokens and rewards are in the plot."""

    def __init__(self, spent: Sequence[Spending]) -> None:
        tokens = [each.tokens.value for each in spent]
        rewards = [value for each in spent for value in _range(each)]
        low, high = math.floor(min(rewards) * 20) / 20, math.ceil(max(rewards) * 20) / 20
        self.x = Axis(
            "image tokens of a picture, the look included",
            math.floor(math.log2(min(tokens))),
            math.ceil(math.log2(max(tokens)) + 0.2),
        )
        self.y = Axis("reward, mean of kinds", low, high if high > low else low + 0.05)

    def x_of(self, tokens: float) -> float:
        return LEFT + self.x.place(math.log2(tokens), WIDTH - LEFT - RIGHT)

    def y_of(self, reward: float) -> float:
        return HEIGHT - BOTTOM - self.y.place(reward, HEIGHT - TOP - BOTTOM)

    def at(self, each: Spending) -> tuple[float, float]:
        return self.x_of(each.tokens.value), self.y_of(each.reward.value)


def _range(each: Spending) -> tuple[float, float]:
    """From where to where the reward lies."""
    interval = each.reward.interval
    if interval is None:
        return each.reward.value, each.reward.value
    return interval.low, interval.high


def _frame(places: _Places) -> Iterator[str]:
    x, y = places.x, places.y
    for power in range(int(x.low), int(x.high) + 1):
        at = places.x_of(2**power)
        yield f'<path d="M{at:.1f} {TOP}V{HEIGHT - BOTTOM}" stroke="{FAINT}"/>'
        yield _text(at, HEIGHT - BOTTOM + 16, f"{2**power}", "middle")
    steps = round((y.high - y.low) * 20)
    every = math.ceil(steps / 8)
    for step in range(0, steps + 1, every):
        value = y.low + step / 20
        at = places.y_of(value)
        yield f'<path d="M{LEFT} {at:.1f}H{WIDTH - RIGHT}" stroke="{FAINT}"/>'
        yield _text(LEFT - 6, at + 4, f"{value:.2f}", "end")
    yield _text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 10, x.name, "middle")
    middle = (TOP + HEIGHT - BOTTOM) / 2
    yield _text(16, middle, y.name, "middle", f' transform="rotate(-90 16 {middle})"')


def _marked(each: Spending, places: _Places) -> Iterator[str]:
    """A mark with its interval, and on the mark what it is."""
    x, y = places.at(each)
    color = BLUE if each.is_fixed else VERMILION
    low, high = _range(each)
    if high > low:
        ends = f"M{x:.1f} {places.y_of(low):.1f}V{places.y_of(high):.1f}"
        yield f'<path d="{ends}" stroke="{color}" stroke-opacity=".4" stroke-width="2"/>'
    told = f"{each.name}: {each.reward.value:.3f} at {each.tokens.value:.1f} tokens"
    title = f"<title>{escape(told)}</title>"
    if each.is_fixed:
        yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{color}">{title}</circle>'
    else:
        yield f'<path d="M{x:.1f} {y - 6:.1f}l6 6l-6 6l-6 -6z" fill="{color}">{title}</path>'


def _names(spent: Sequence[Spending], places: _Places) -> Iterator[str]:
    """Names beside the marks, on the side that has room, moved apart where they would meet."""
    taken: list[tuple[float, float, float]] = []
    for each in sorted(spent, key=lambda each: places.at(each)[1]):
        x, y = places.at(each)
        length = 6.6 * len(each.name)
        is_left = x + 10 + length > WIDTH - RIGHT
        start = x - 10 - length if is_left else x + 10
        base = y - 6
        while any(
            abs(base - other) < 14 and start < end and begin < start + length
            for other, begin, end in taken
        ):
            base += 14
        taken.append((base, start, start + length))
        yield _text(x - 10 if is_left else x + 10, base, each.name, "end" if is_left else "start")


def _text(x: float, y: float, words: str, anchor: str, more: str = "") -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{INK}" {_TEXT}{more}>'
        f"{escape(words)}</text>"
    )
