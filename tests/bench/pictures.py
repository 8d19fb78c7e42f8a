"""Line charts as SVG, written by hand: two axes of powers of ten, a line and its name for each series."""

import math
from collections.abc import Mapping, Sequence
from html import escape

_WIDTH, _HEIGHT = 720, 380
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 210, 44, 48
_COLOURS = ("#0b6e4f", "#c1440e", "#3454d1", "#8d5a97", "#b8860b", "#555555", "#1f9fa8")


def chart(title: str, across: str, up: str, lines: Mapping[str, Sequence[tuple[float, float]]]) -> str:
    """A chart with both axes logarithmic, of points that are above zero."""
    points = [point for line in lines.values() for point in line]
    xs, ys = _powers([x for x, _ in points]), _powers([y for _, y in points])

    def place(x: float, y: float) -> tuple[float, float]:
        return _along(x, xs, _LEFT, _WIDTH - _RIGHT), _along(y, ys, _HEIGHT - _BOTTOM, _TOP)

    drawn = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="sans-serif">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#ffffff"/>',
        _text(_LEFT, 24, title, size=15),
        _text(_LEFT, _HEIGHT - 10, across),
        _text(8, _TOP - 8, up),
    ]
    for x in xs:
        at, _ = place(x, ys[0])
        drawn += [
            _line([(at, _TOP), (at, _HEIGHT - _BOTTOM)], "#dddddd"),
            _text(at - 8, _HEIGHT - _BOTTOM + 16, f"{x:,g}"),
        ]
    for y in ys:
        _, at = place(xs[0], y)
        drawn += [_line([(_LEFT, at), (_WIDTH - _RIGHT, at)], "#dddddd"), _text(8, at + 4, f"{y:,g}")]
    names = _apart({name: place(*line[-1])[1] for name, line in lines.items()})
    for (name, line), colour in zip(lines.items(), _COLOURS, strict=False):
        placed = [place(*point) for point in line]
        drawn.append(_line(placed, colour, width=2))
        drawn += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in placed]
        drawn.append(_text(_WIDTH - _RIGHT + 10, names[name] + 4, name, colour=colour))
    return "\n".join([*drawn, "</svg>", ""])


def _powers(values: Sequence[float]) -> list[float]:
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    return [10.0**power for power in range(low, max(high, low + 1) + 1)]


def _along(value: float, powers: Sequence[float], begin: float, end: float) -> float:
    share = math.log10(value / powers[0]) / math.log10(powers[-1] / powers[0])
    return begin + share * (end - begin)


def _apart(heights: Mapping[str, float]) -> dict[str, float]:
    """Move names down until each has a line of its own."""
    placed: dict[str, float] = {}
    lowest = -math.inf
    for name, height in sorted(heights.items(), key=lambda item: item[1]):
        lowest = placed[name] = max(height, lowest + 15)
    return placed


def _line(points: Sequence[tuple[float, float]], colour: str, *, width: int = 1) -> str:
    said = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<polyline points="{said}" fill="none" stroke="{colour}" stroke-width="{width}"/>'


def _text(x: float, y: float, said: str, *, size: int = 12, colour: str = "#222222") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" fill="{colour}">{escape(said)}</text>'
