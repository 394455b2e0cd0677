"""The command `fairlead` as a user would run it."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Command:
    """The command `fairlead` in a state folder and on a port of its own."""

    folder: Path
    port: int

    def environment(self) -> dict[str, str]:
        """The environment of its processes."""
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        home = str(self.folder / ".fairlead")
        return {**os.environ, "FAIRLEAD_HOME": home, "FAIRLEAD_SERVING_PORT": str(self.port), "PATH": path}

    def __call__(self, *arguments: str, timeout: float = 400) -> "subprocess.CompletedProcess[str]":
        """Runs it to its end."""
        return subprocess.run(
            [sys.executable, "-m", "fairlead_pipelines.command.main", *arguments],
            cwd=self.folder, env=self.environment(), capture_output=True, text=True, timeout=timeout, check=False,
        )  # fmt: skip
