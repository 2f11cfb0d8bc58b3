"""A boosting graph as a picture (SVG), without any program to lay it out."""

from __future__ import annotations

from collections.abc import Generator
from typing import NamedTuple

from ctcbias_fst.graph.entity_tree import BoostGraph
from ctcbias_fst.pictures import xml_text
from ctcbias_fst.text.vocabulary import Vocabulary

_COLUMN, _ROW, _MARGIN, _RADIUS = 130, 44, 40, 13
_STYLE = (
    "text{font:14px sans-serif;text-anchor:middle;fill:#222}"
    ".end{text-anchor:start;font-weight:bold}.note{text-anchor:start;fill:#666}"
    "circle{fill:#fff;stroke:#222;stroke-width:1.5}path{fill:none;stroke:#666;stroke-width:1.3}"
)
_TIP = (
    '<defs><marker id="tip" viewBox="0 0 10 10" refX="10" refY="5" markerWidth="8" '
    'markerHeight="8" orient="auto"><path d="M0 0 10 5 0 10z" style="fill:#666"/></marker></defs>'
)


class _Branch(NamedTuple):
    """An arc to draw: into a node that goes on (``node``) or to an entity's end (-1)."""

    parent: int
    node: int
    token: int
    entity: int
    cost: float


def draw_boost_graph(graph: BoostGraph, vocabulary: Vocabulary, max_paths: int = 60) -> str:
    """Draw a graph as SVG: tokens on the arcs, an entity where its last token leads.

    Each end is drawn on its own, though all of them are the one final state. Of a larger
    graph the first ``max_paths`` segmentations are drawn, and a line says how many are not.

    Raises:
        GraphError: the graph is of another vocabulary.
    """
    graph.require_vocabulary(vocabulary)
    rows: dict[int, float] = {}  # y of each inner node, in rows
    depth = {0: 0}
    drawn: list[tuple[_Branch, float]] = []
    ends = 0

    def visit(node: int) -> Generator[int, float, float]:
        """Place what is below a node: yields nodes below it, is sent their rows, and returns its
        own, midway between its arcs'."""
        nonlocal ends
        places = []
        for branch in _branches(graph, node):
            if ends >= max_paths:
                break
            if branch.node < 0:
                place = float(ends)
                ends += 1
            else:
                depth[branch.node] = depth[node] + 1
                place = yield branch.node
            places.append(place)
            drawn.append((branch, place))
        rows[node] = (places[0] + places[-1]) / 2 if places else 0.0
        return rows[node]

    # Not by recursion: names may have more tokens than Python has stack.
    open_nodes, row = [visit(0)], None
    while open_nodes:
        try:
            below = next(open_nodes[-1]) if row is None else open_nodes[-1].send(row)
            open_nodes.append(visit(below))
            row = None
        except StopIteration as done:
            open_nodes.pop()
            row = done.value
    hidden = graph.num_paths - ends
    columns = 1 + max((depth[branch.parent] for branch, _ in drawn), default=0)
    longest = max((len(_label(graph, branch)) for branch, _ in drawn if branch.node < 0), default=0)
    width = 2 * _MARGIN + columns * _COLUMN + 9 * longest
    height = 2 * _MARGIN + _ROW * max(ends - 1, 0) + (_ROW if hidden else 0)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}">',
        f"<style>{_STYLE}</style>",
        _TIP,
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
    ]
    for branch, place in drawn:
        start = _at(depth[branch.parent], rows[branch.parent])
        parts += _arc(start, _at(depth[branch.parent] + 1, place), vocabulary.tokens[branch.token])
        if branch.node < 0:
            parts += _end(_at(depth[branch.parent] + 1, place), _label(graph, branch))
    for node, row in rows.items():
        x, y = _at(depth[node], row)
        bold = ' style="stroke-width:3"' if node == 0 else ""
        parts.append(f'<circle cx="{x:g}" cy="{y:g}" r="{_RADIUS}"{bold}/>')
    if hidden:
        parts.append(f'<text class="note" x="{_MARGIN}" y="{height - 18}">and {hidden} more</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def _branches(graph: BoostGraph, node: int) -> list[_Branch]:
    branches = []
    for child in range(int(graph.first_child[node]), int(graph.first_child[node + 1])):
        token, entity = int(graph.token[child]), int(graph.end[child])
        if entity >= 0:
            branches.append(_Branch(node, -1, token, entity, float(graph.cost[child])))
        if graph.first_child[child + 1] > graph.first_child[child]:
            branches.append(_Branch(node, child, token, -1, 0.0))
    return branches


def _at(column: float, row: float) -> tuple[float, float]:
    return _MARGIN + column * _COLUMN, _MARGIN + row * _ROW


def _label(graph: BoostGraph, branch: _Branch) -> str:
    """What is written at an entity's end."""
    entity = graph.entities[branch.entity]
    cost = f"  cost {branch.cost:.3g}" if branch.cost else ""
    weight = f"  weight {entity.weight:g}" if entity.weight != 1 else ""
    return entity.display + cost + weight


def _arc(start: tuple[float, float], end: tuple[float, float], token: str) -> list[str]:
    (x0, y0), (x1, y1) = start, end
    bend = _COLUMN / 2
    return [
        f'<path d="M{x0 + _RADIUS:g} {y0:g}C{x0 + bend:g} {y0:g} {x1 - bend:g} {y1:g} '
        f'{x1 - _RADIUS - 2:g} {y1:g}" marker-end="url(#tip)"/>',
        f'<text x="{x1 - bend / 1.4:g}" y="{y1 - 6:g}">{xml_text(token)}</text>',
    ]


def _end(at: tuple[float, float], label: str) -> list[str]:
    x, y = at
    return [
        f'<circle cx="{x:g}" cy="{y:g}" r="{_RADIUS}"/>',
        f'<circle cx="{x:g}" cy="{y:g}" r="{_RADIUS - 4}"/>',
        f'<text class="end" x="{x + _RADIUS + 7:g}" y="{y + 5:g}">{xml_text(label)}</text>',
    ]
