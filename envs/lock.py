"""`make lock`: write beside each pinned version the sha256 of every file of that release.

Edit a version in one of the files here, then run this. `uv` asks the package index for the hashes
(of all platforms and Pythons, so that the set holds on each); its own settings choose the index.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile

from install import ENVS, requirements, version_only

HASHED = (
    *("requirements.txt", "mmcv.txt", "mmcv-lite.txt"),
    *("lint.txt", "docs.txt", "pages.txt", "lock.txt"),
)


def main() -> int:
    """Write the hashes of all files; return the exit code."""
    try:
        for name in HASHED:
            write(name, requirements(name), "--no-deps")
        # torch for GPUs with the libraries it names, but for those that are pinned already.
        own = [version_only(line) for line in requirements("requirements.txt")]
        left_out = [f"--no-emit-package={line.partition('==')[0]}" for line in own]
        with tempfile.NamedTemporaryFile("w", suffix=".txt") as versions:
            versions.write("\n".join(own))
            versions.flush()
            torch = requirements("torch-cpu.txt")
            write("torch-cuda.txt", torch, "-c", versions.name, *left_out)
            write("adapters.txt", requirements("adapters.in"), "-c", versions.name)
    except subprocess.CalledProcessError as error:
        print(f"lock: uv failed; its message is above\n{error.stderr or ''}", file=sys.stderr)
        return 1
    return 0


def write(name: str, lines: list[str], *options: str) -> None:
    """Write a file anew: its comment, then the requirements with their hashes."""
    path = ENVS / name
    comment = [line for line in path.read_text().splitlines() if line.startswith("#")]
    # Without the old hashes: uv would keep them for a new version.
    command = [
        "uv", "pip", "compile", "-q", "--universal", "--python-version", "3.11",
        "--generate-hashes", "--no-annotate", "--no-header", *options, "-",
    ]  # fmt: skip
    pins = "".join(f"{version_only(line)}\n" for line in lines)
    done = subprocess.run(command, input=pins, stdout=subprocess.PIPE, text=True, check=True)
    path.write_text("\n".join([*comment, done.stdout]))


if __name__ == "__main__":
    sys.exit(main())
