"""The graph of a run: layers, no overlap, no missing arrow, for any graph."""

import re
from collections.abc import Mapping
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from fairlead_pipelines.report import graph
from fairlead_pipelines.report.runs import Task


@st.composite
def graphs(draw: st.DrawFn) -> tuple[Task, ...]:
    """Draw the tasks of a pipeline: each depends on any of those before it."""
    count = draw(st.integers(1, 14))
    tasks = []
    for index in range(count):
        depends = draw(st.sets(st.integers(0, index - 1), max_size=4)) if index else set()
        tasks.append(Task(f"t{index}", "c", "succeeded", float(index), tuple(f"t{other}" for other in sorted(depends))))
    return tuple(tasks)


def reachable(edges: Mapping[str, list[str] | tuple[str, ...]], name: str) -> set[str]:
    """Return everything that a task needs, near or far."""
    found: set[str] = set()
    for parent in edges[name]:
        found |= {parent} | reachable(edges, parent)
    return found


@settings(deadline=None, max_examples=60)
@given(graphs())
def test_leaving_out_arrows_loses_no_order(tasks: tuple[Task, ...]) -> None:
    """What a task needs, near or far, is the same with the arrows that follow from others left out."""
    kept = graph.essential(tasks)
    whole = {task.name: task.depends for task in tasks}
    assert all(reachable(kept, task.name) == reachable(whole, task.name) for task in tasks)


@settings(deadline=None, max_examples=60)
@given(graphs())
def test_boxes_do_not_overlap_and_arrows_go_down(tasks: tuple[Task, ...]) -> None:
    """In each layer there is room between the boxes; each arrow leads to a lower layer; each task has one box."""
    layers = graph._arrange(tasks)
    for layer in layers:
        for left, right in pairwise(layer):
            assert right.x - left.x >= (left.width + right.width) / 2 + graph.GAP_X - 1e-6
        assert all(child.layer == node.layer + 1 for node in layer for child in node.below)
    assert sorted(node.task.name for layer in layers for node in layer if node.task) == sorted(t.name for t in tasks)


@settings(deadline=None, max_examples=30)
@given(graphs())
def test_every_arrow_is_drawn(tasks: tuple[Task, ...]) -> None:
    """There are as many arrow heads as essential dependencies."""
    arrows = sum(len(parents) for parents in graph.essential(tasks).values())
    assert len(re.findall(r'class="edge"', graph.draw(tasks))) == arrows


def test_a_chain_hangs_straight() -> None:
    """Tasks that follow one another stand below one another."""
    tasks = tuple(Task(f"t{i}", "c", "succeeded", 1.0, (f"t{i - 1}",) if i else ()) for i in range(5))
    assert len({round(node.x, 3) for layer in graph._arrange(tasks) for node in layer}) == 1


def test_names_are_escaped_and_shortened() -> None:
    """A hostile or long name breaks nothing."""
    drawn = graph.draw((Task('<b>"', "c", "failed", 0.0, error="<i>"), Task("x" * 60, "c", "waiting")))
    assert "<b>" not in drawn
    assert "<i>" not in drawn
    assert "…" in drawn


def test_no_tasks_make_no_graph() -> None:
    """A run that has not begun has no graph."""
    assert graph.draw(()) == ""


def test_durations_are_said_as_people_say_them() -> None:
    """Hundredths below ten seconds, minutes above sixty."""
    said = [graph.duration(seconds) for seconds in (0.421, 12.34, 59.97, 200)]
    assert said == ["0.42 s", "12.3 s", "1 min 0 s", "3 min 20 s"]
