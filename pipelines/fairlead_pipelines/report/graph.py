"""The graph of a run as SVG: layers by dependency, few crossings, long arrows routed round the boxes.

Graphviz would do it, but it is a program to install, and the report should need nothing. The layout is Sugiyama's
(1981): longest-path layers, dummy nodes on long edges, barycentre ordering, then positions by relaxation.
"""

from dataclasses import dataclass, field
from html import escape
from itertools import pairwise

from fairlead_pipelines.report.runs import Task

WIDTH, HEIGHT = 196.0, 46.0
GAP_X, GAP_Y = 26.0, 26.0
_BEND_WIDTH = 24.0  # what a passing arrow claims in a layer
_SWEEPS = 8


@dataclass
class _Node:
    """A task, or a place where a long arrow passes a layer."""

    layer: int
    task: Task | None = None
    above: list["_Node"] = field(default_factory=list)
    below: list["_Node"] = field(default_factory=list)
    x: float = 0.0  # of the centre

    @property
    def width(self) -> float:
        return WIDTH if self.task else _BEND_WIDTH


def draw(tasks: tuple[Task, ...]) -> str:
    """Return the graph as SVG; each box links to `#task-NAME`.

    Args:
        tasks: In an order in which each comes after those it depends on.
    """
    if not tasks:
        return ""
    layers = _arrange(tasks)
    left = min(node.x - node.width / 2 for layer in layers for node in layer) - 6
    right = max(node.x + node.width / 2 for layer in layers for node in layer) + 6
    height = len(layers) * (HEIGHT + GAP_Y) - GAP_Y + 12
    longest = max(task.seconds for task in tasks)
    edges = [_edge(node) for layer in layers for node in layer if node.task]
    boxes = [_box(node, longest) for layer in layers for node in layer if node.task]
    size = f'width="{right - left:.0f}" height="{height:.0f}" viewBox="{left:.1f} -6 {right - left:.1f} {height:.1f}"'
    return f'<svg class="graph" role="img" aria-label="graph of the run" {size}>{"".join(edges + boxes)}</svg>'


def _arrange(tasks: tuple[Task, ...]) -> list[list[_Node]]:
    """Return the layers, top to bottom, of placed nodes, left to right."""
    nodes = _nodes(tasks)
    layers: list[list[_Node]] = [[] for _ in range(1 + max(node.layer for node in nodes))]
    for node in nodes:
        layers[node.layer].append(node)
    for sweep in range(_SWEEPS):
        down = sweep % 2 == 0
        for layer in layers if down else layers[::-1]:
            _order(layer, down)
    for layer in layers:
        _pack(layer)
    for sweep in range(_SWEEPS):
        down = sweep % 2 == 1  # the last: chains then hang straight below what they start from
        for layer in layers if down else layers[::-1]:
            _relax(layer, down)
    return layers


def _nodes(tasks: tuple[Task, ...]) -> list[_Node]:
    """Return a node for each task, and one for each layer that an arrow passes."""
    needed = essential(tasks)
    layers = _layers(needed)
    by_name = {task.name: _Node(layers[task.name], task) for task in tasks}
    bends: list[_Node] = []
    for name, node in by_name.items():
        for parent in needed[name]:
            bends += _connect(by_name[parent], node)
    return [*by_name.values(), *bends]


def _layers(needed: dict[str, list[str]]) -> dict[str, int]:
    """Return each task's layer: below all that it needs, and one that needs nothing just above its first user."""
    layers: dict[str, int] = {}
    for name, parents in needed.items():
        layers[name] = 1 + max((layers[parent] for parent in parents), default=-1)
    for name in [name for name, parents in needed.items() if not parents]:
        users = [layers[user] for user, parents in needed.items() if name in parents]
        layers[name] = min(users, default=1) - 1
    return layers


def in_order(tasks: tuple[Task, ...]) -> tuple[Task, ...]:
    """Return tasks as the graph has them from top to bottom: one that needs nothing stands where it is first used.

    Args:
        tasks: In any order in which each comes after those it depends on.
    """
    layers = _layers(essential(tasks))
    return tuple(sorted(tasks, key=lambda task: layers[task.name]))


def _connect(parent: _Node, node: _Node) -> list[_Node]:
    """Join two nodes by way of the layers between them, and return the nodes that this makes."""
    bends: list[_Node] = []
    last = parent
    for layer in range(parent.layer + 1, node.layer):
        bends.append(_Node(layer))
        last.below.append(bends[-1])
        bends[-1].above.append(last)
        last = bends[-1]
    last.below.append(node)
    node.above.append(last)
    return bends


def essential(tasks: tuple[Task, ...]) -> dict[str, list[str]]:
    """Return each task's direct dependencies, without those that follow from others.

    Args:
        tasks: In an order in which each comes after those it depends on; unknown names are left out.
    """
    reach: dict[str, set[str]] = {}
    kept: dict[str, list[str]] = {}
    for task in tasks:
        direct = [name for name in dict.fromkeys(task.depends) if name in reach]
        implied = set[str]().union(*(reach[name] for name in direct))
        kept[task.name] = [name for name in direct if name not in implied]
        reach[task.name] = implied.union(direct)
    return kept


def _order(layer: list[_Node], down: bool) -> None:
    """Sort a layer by the mean position of each node's neighbours above, or below."""
    for index, node in enumerate(layer):
        node.x = node.x or float(index)
    means = {id(node): _mean(node.above if down else node.below, node.x) for node in layer}
    layer.sort(key=lambda node: means[id(node)])
    for index, node in enumerate(layer):
        node.x = float(index) - (len(layer) - 1) / 2


def _mean(nodes: list[_Node], otherwise: float) -> float:
    return sum(node.x for node in nodes) / len(nodes) if nodes else otherwise


def _pack(layer: list[_Node]) -> None:
    """Set a layer's nodes side by side around 0."""
    total = sum(node.width for node in layer) + GAP_X * (len(layer) - 1)
    edge = -total / 2
    for node in layer:
        node.x = edge + node.width / 2
        edge += node.width + GAP_X


def _relax(layer: list[_Node], down: bool) -> None:
    """Move nodes below the mean of those above them (or the reverse) as far as their order allows."""
    wanted = [_mean(node.above if down else node.below, node.x) for node in layer]
    for node, x in zip(layer, wanted, strict=True):
        node.x = x
    for left, right in pairwise(layer):
        right.x = max(right.x, left.x + (left.width + right.width) / 2 + GAP_X)
    surplus = sum(node.x - x for node, x in zip(layer, wanted, strict=True)) / len(layer)
    for node in layer:
        node.x -= surplus


def _edge(node: _Node) -> str:
    """Return the arrows that leave a box."""
    return "".join(f'<path class="edge" d="{_path(node, child)}"/>' for child in node.below)


def _path(node: _Node, child: _Node) -> str:
    """Return a curve from a box through the bends to the next box."""
    x, y = node.x, node.layer * (HEIGHT + GAP_Y) + HEIGHT
    parts = [f"M{x:.1f} {y:.1f}"]
    while True:
        top = child.layer * (HEIGHT + GAP_Y)
        middle = (y + top) / 2
        parts.append(f"C{x:.1f} {middle:.1f} {child.x:.1f} {middle:.1f} {child.x:.1f} {top:.1f}")
        if child.task:
            return "".join(parts) + "l-3.5 -6m3.5 6l3.5 -6"
        x, y = child.x, top + HEIGHT
        parts.append(f"V{y:.1f}")
        child = child.below[0]


def _box(node: _Node, longest: float) -> str:
    """Return a task's box: its name, its time, and a bar for its share of the longest task's time."""
    task = node.task
    if task is None:
        return ""
    left, top = node.x - WIDTH / 2, node.layer * (HEIGHT + GAP_Y)
    bar = (WIDTH - 24) * task.seconds / longest if longest > 0 else 0
    name = task.name if len(task.name) <= _LONGEST_NAME else task.name[: _LONGEST_NAME - 1] + "…"
    link = "" if task.state == "skipped" else f' href="#task-{escape(task.name)}"'
    return (
        f'<a{link}><g class="box {escape(task.state)}"><title>{escape(_tip(task))}</title>'
        f'<rect x="{left:.1f}" y="{top:.1f}" width="{WIDTH:.0f}" height="{HEIGHT:.0f}" rx="9"/>'
        f'<circle cx="{left + 15:.1f}" cy="{top + 17:.1f}" r="4.5"/>'
        f'<text x="{left + 26:.1f}" y="{top + 21.5:.1f}">{escape(name)}</text>'
        f'<text class="time" x="{left + 26:.1f}" y="{top + 37:.1f}">{escape(_caption(task))}</text>'
        f'<rect class="bar" x="{left + 12:.1f}" y="{top + HEIGHT - 4.5:.1f}" width="{bar:.1f}" height="2" rx="1"/>'
        "</g></a>"
    )


_LONGEST_NAME = 23


def _caption(task: Task) -> str:
    """Return the state and time of a task in a few words."""
    if task.state in {"skipped", "running"}:
        return task.state
    return f"{task.state} · {duration(task.seconds)}" if task.seconds else task.state


def _tip(task: Task) -> str:
    return f"{task.component}: {task.state}{': ' + task.error if task.error else ''}"


def duration(seconds: float) -> str:
    """Return a time span as people say it: 0.42 s, 12.3 s, 3 min 20 s."""
    for limit, digits in ((9.995, 2), (59.95, 1)):
        if seconds < limit:
            return f"{seconds:.{digits}f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s"
