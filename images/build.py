"""Builds the images, and pushes them where a registry is given.

    python images/build.py                                         with docker, podman or buildah, whichever is there
    python images/build.py --registry ghcr.io/team --tool podman   and push; writes the digests to build/images.json
    python images/build.py base serving                            some of them

`fairlead compile --images build/images.json` then writes packages that name exactly what was pushed. What came of each
image lies under build/: images.json, and a bill of materials (CycloneDX) per image.

Arguments after the option --build-arg go to the Containerfiles: ACCELERATOR=cpu, BUDGET_MB=700.
"""

import argparse
import datetime as dt
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RUNTIMES = ("base", "training", "serving", "mlflow")
TOOLS = ("docker", "podman", "buildah")
PYTHON_IMAGE = "docker.io/library/python:3.11-slim"
SBOM = "/opt/fairlead/sbom.cdx.json"


class BuildError(Exception):
    """Something ended the build; the text says what, and what to do."""


def run(*command: str | Path) -> str:
    """Runs a program in the repository's root.

    Returns:
        What it wrote to its standard output.

    Raises:
        BuildError: It failed; the text ends with the last lines that it wrote.
    """
    words = [str(word) for word in command]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        last = "\n".join((done.stdout + done.stderr).strip().splitlines()[-15:])
        raise BuildError(f"{' '.join(words[:3])} … failed ({done.returncode}):\n{last}")
    return done.stdout.strip()


def find_tool(wanted: str) -> str:
    """The tool that was asked for, or the first that is there.

    Raises:
        BuildError: There is none.
    """
    for name in [wanted] if wanted else TOOLS:
        if shutil.which(name):
            return name
    raise BuildError(f"no {wanted or ', '.join(TOOLS)} on the PATH; install one, or name another by --tool")


def version() -> str:
    """The version that setup.py says; it is the images' tag."""
    found = re.search(r'^VERSION = "([^"]+)"$', (ROOT / "setup.py").read_text(encoding="utf-8"), re.MULTILINE)
    if not found:
        raise BuildError("setup.py says no VERSION")
    return found[1]


def pin(tool: str, image: str) -> str:
    """The base image by its digest, so that all images of one run stand on the same one.

    Args:
        tool: docker, podman or buildah.
        image: A reference; one that has a digest stays as it is.

    Returns:
        The reference with the digest; without one where the image was loaded from a file and no registry knows it.
    """
    if "@sha256:" in image:
        return image
    try:
        run(tool, "pull", image)
        digests = run(tool, *_inspect(tool), image)
    except BuildError as error:
        print(f"no registry answers for {image}: building on the one that is here ({str(error).splitlines()[-1]})")
        return image
    found = re.search(r"sha256:[0-9a-f]{64}", digests)
    return f"{image.partition('@')[0]}@{found[0]}" if found else image


def _inspect(tool: str) -> tuple[str, ...]:
    if tool == "buildah":
        return ("inspect", "--type", "image", "--format", "{{.FromImageDigest}}")
    return ("image", "inspect", "--format", "{{json .RepoDigests}}")


def facts() -> dict[str, str]:
    """What labels say of the source: commit, address, and when it was made (SOURCE_DATE_EPOCH, else the commit's)."""
    said = {"VERSION": version()}
    try:
        said["REVISION"] = run("git", "rev-parse", "HEAD") + ("-changed" if run("git", "status", "--porcelain") else "")
        epoch = os.environ.get("SOURCE_DATE_EPOCH") or run("git", "log", "-1", "--format=%ct")
    except (BuildError, FileNotFoundError):  # an unpacked archive
        epoch = os.environ.get("SOURCE_DATE_EPOCH", "0")
    said["CREATED"] = dt.datetime.fromtimestamp(int(epoch), dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    address = os.environ.get("SOURCE", "")
    return said | ({"SOURCE": address} if address else {})


def build_command(tool: str, runtime: str, reference: str, arguments: dict[str, str]) -> list[str]:
    """The words that build one image."""
    words = [tool, "build", "--tag", reference, "--file", f"images/{runtime}/Containerfile"]
    for name, value in arguments.items():
        words += ["--build-arg", f"{name}={value}"]
    return [*words, "."]


def read_file(tool: str, reference: str, path: str) -> str:
    """The text of a file in an image, read without a shell and as nobody."""
    if tool == "buildah":
        container = run(tool, "from", "--pull-never", reference)
        try:
            return run(tool, "run", container, "--", "cat", path)
        finally:
            run(tool, "rm", container)
    return run(tool, "run", "--rm", "--network", "none", "--entrypoint", "cat", reference, path)


def push(tool: str, reference: str) -> str:
    """Pushes an image; its reference by digest.

    Raises:
        BuildError: The registry refuses it.
    """
    digest_file = ROOT / "build" / "pushed"
    if tool == "docker":
        said = run(tool, "push", reference)
    else:
        run(tool, "push", "--digestfile", digest_file, reference)
        said = digest_file.read_text(encoding="utf-8")
        digest_file.unlink()
    found = re.search(r"sha256:[0-9a-f]{64}", said)
    if not found:
        raise BuildError(f"{tool} pushed {reference} and did not say its digest")
    return f"{reference.rpartition(':')[0]}@{found[0]}"


def make(tool: str, runtime: str, prefix: str, arguments: dict[str, str]) -> tuple[str, str]:
    """Builds one image, keeps its bill of materials, and pushes it where there is a registry.

    Returns:
        The name by which contracts know it, and the reference of what was made.
    """
    name = f"fairlead-{runtime}:{arguments['VERSION']}"
    reference = f"{prefix}{name}"
    run(*build_command(tool, runtime, reference, arguments))
    bill = ROOT / "build" / f"fairlead-{runtime}-{arguments['VERSION']}.cdx.json"
    bill.write_text(read_file(tool, reference, SBOM) + "\n", encoding="utf-8")
    made = push(tool, reference) if prefix else reference
    print(
        f"{made}\n  {bill.relative_to(ROOT)}: {len(json.loads(bill.read_text(encoding='utf-8'))['components'])} parts"
    )
    return name, made


def main(words: Sequence[str]) -> None:
    """Builds what the command line asks for."""
    parser = argparse.ArgumentParser(description="Build fairlead's images; push them where --registry is given.")
    parser.add_argument("runtimes", nargs="*", metavar="RUNTIME", help=f"of {', '.join(RUNTIMES)}; all by default")
    parser.add_argument("--tool", default="", help=f"{', '.join(TOOLS)}: by default the first that is there")
    parser.add_argument("--registry", default="", help="push to this prefix, such as ghcr.io/team")
    parser.add_argument("--python-image", default=PYTHON_IMAGE, help="the base; pinned to its digest if it has none")
    parser.add_argument("--build-arg", action="append", default=[], metavar="NAME=VALUE")
    given = parser.parse_args(words)
    unknown = sorted(set(given.runtimes) - set(RUNTIMES))
    if unknown:
        parser.error(f"no runtime {', '.join(unknown)}; there are {', '.join(RUNTIMES)}")
    tool = find_tool(given.tool)
    (ROOT / "build").mkdir(exist_ok=True)
    arguments = {"PYTHON_IMAGE": pin(tool, given.python_image), **facts()}
    arguments |= dict(pair.split("=", 1) for pair in given.build_arg)
    prefix = f"{given.registry.rstrip('/')}/" if given.registry else ""
    made = dict(make(tool, runtime, prefix, arguments) for runtime in given.runtimes or RUNTIMES)
    text = json.dumps({"base": arguments["PYTHON_IMAGE"], "images": made}, indent=2) + "\n"
    (ROOT / "build" / "images.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except BuildError as error:
        sys.exit(f"images: {error}")
