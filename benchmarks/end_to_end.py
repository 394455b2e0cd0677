"""The main job, `fairlead run flights` on an empty state folder, beside the same package run by bare kfp.local.

    python benchmarks/end_to_end.py

Prints the seconds of each step, of the whole, and the share that the runner adds (resume, events, live view).
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

BARE = """
import json, sys
from kfp import components, local
local.init(local.SubprocessRunner(use_venv=False), pipeline_root=sys.argv[2])
components.load_component_from_file(sys.argv[1])()
"""


def environment(home: Path, port: int) -> dict[str, str]:
    """A state folder and a port of its own."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "FAIRLEAD_HOME": str(home), "FAIRLEAD_SERVING_PORT": str(port)}


def fairlead(home: Path, port: int, *arguments: str) -> float:
    """Runs the command; its output goes to this one's. Gives the wall seconds."""
    started = time.monotonic()
    subprocess.run(
        [sys.executable, "-m", "fairlead_pipelines.command.main", *arguments], env=environment(home, port), check=True
    )
    return time.monotonic() - started


def bare(home: Path, port: int, package: Path) -> float:
    """Runs the compiled package by kfp.local alone. Gives the wall seconds."""
    started = time.monotonic()
    subprocess.run(
        [sys.executable, "-c", BARE, str(package), str(home / "outputs")],
        env=environment(home, port), check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    return time.monotonic() - started


def main() -> None:
    """Runs both, one after the other, and prints the figures side by side."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        fairlead(root / "a", 18080, "compile", "flights", "--output", str(root))
        ours = fairlead(root / "a", 18080, "run", "flights")
        fairlead(root / "a", 18080, "down")
        plain = bare(root / "b", 18081, root / "flights.yaml")
        fairlead(root / "b", 18081, "down")
    print(f"\nfairlead run flights  {ours:6.1f} s")
    print(f"bare kfp.local        {plain:6.1f} s")
    print(f"ratio                 {ours / plain:6.2f}")


if __name__ == "__main__":
    main()
