"""What Katib's metrics collector does in a trial's pod, as a program of one file: it runs in the trial's own image.

It finds the trial's main process by the redirection in its command line (the pod shares its process namespace), passes
the lines of its log on to its own output, and ends 255 where the main process is not found or did not complete. When
all stop rules are met it marks the trial, terminates the main process's only child, and says so.
"""

import json
import os
import re
import signal
import sys
import time
from pathlib import Path

LOG = os.environ["KATIB_LOG"]
RULES = json.loads(os.environ.get("KATIB_RULES", "[]"))
TYPE = os.environ.get("KATIB_OBJECTIVE_TYPE", "minimize")
FILTER = re.compile(r"([\w|-]+)\s*=\s*([+-]?\d*(\.\d+)?([Ee][+-]?\d+)?)", re.ASCII)
STOPPED = "katib: early-stopped"


def processes() -> dict[int, tuple[int, str]]:
    """Parent and command line of every process."""
    found = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                words = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            except (OSError, ValueError, IndexError):
                continue
            found[int(folder.name)] = (parent, words)
    return found


def find_main() -> int:
    """The process whose output goes to the log."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        for pid, (_, words) in sorted(processes().items()):
            if f"1>{LOG}" in words and pid != os.getpid():
                return pid
        if any(Path(LOG).parent.glob("*.pid")):
            break
        time.sleep(0.05)
    return 0


class Watcher:
    """Passes lines on and minds the stop rules."""

    def __init__(self) -> None:
        self.rules, self.offset = list(RULES), 0
        self.best: float | None = None
        self.steps = {rule["name"]: int(rule.get("startStep") or 0) for rule in RULES}

    def pass_on(self) -> bool:
        """Whether the trial is to be stopped."""
        path = Path(LOG)
        text = path.read_text(errors="replace")[self.offset :] if path.exists() else ""
        whole = text[: text.rfind("\n") + 1]
        self.offset += len(whole)
        for line in whole.splitlines():
            sys.stdout.write(line + "\n")
            for name, value, *_ in FILTER.findall(line):
                for rule in [rule for rule in self.rules if rule["name"] == name and value]:
                    self.mind(rule, float(value))
        sys.stdout.flush()
        return bool(RULES) and not self.rules

    def mind(self, rule: dict[str, str], value: float) -> None:
        """Takes one value: Katib compares the best so far, once, at the start step."""
        better = min if TYPE == "minimize" else max
        self.best = best = value if self.best is None else better(self.best, value)
        if self.steps[rule["name"]]:
            self.steps[rule["name"]] -= 1
            if self.steps[rule["name"]]:
                return
        limit = float(rule["value"])
        if (rule["comparison"] == "less" and best < limit) or (rule["comparison"] == "greater" and best > limit):
            self.rules.remove(rule)


def main() -> int:
    """Collects; the exit code of the container."""
    pid, watcher = find_main(), Watcher()
    mark = Path(LOG).parent / f"{pid}.pid"
    if not pid:
        sys.stdout.write("unable to find main pid\n")
        return 255
    stopped = False
    while Path(f"/proc/{pid}").exists() and "Z" not in state_of(pid):
        if not stopped and watcher.pass_on():
            stopped = True
            mark.write_text("early-stopped")
            children = [child for child, (parent, _) in processes().items() if parent == pid]
            if len(children) != 1:
                sys.stdout.write(f"Multiple children processes are not supported: {children}\n")
                return 255
            os.kill(children[0], signal.SIGTERM)
        time.sleep(0.1)
    watcher.pass_on()
    if stopped:
        sys.stdout.write(STOPPED + "\n")
        return 0
    return 0 if mark.exists() and mark.read_text().strip() == "completed" else 255


def state_of(pid: int) -> str:
    """The process's state; a zombie has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return "Z"


if __name__ == "__main__":
    sys.exit(main())
