"""Build the CPU image without a Docker daemon and run commands in it (docker/buildah.sh).

Used by the tests of the image and for the record in results/reference/image.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TAG = "localhost/rankdet:test"
DISK_GIB = 8


def installer():
    """Return envs/install.py as a module, for the paths of built wheels."""
    spec = importlib.util.spec_from_file_location("install", ROOT / "envs" / "install.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def unfit() -> str | None:
    """Return why no image can be built here, or None."""
    missing = [name for name in ("buildah", "debootstrap") if not shutil.which(name)]
    if missing:
        return f"{' and '.join(missing)} missing: apt-get install buildah debootstrap"
    if os.geteuid() != 0:
        return "Buildah's chroot isolation and debootstrap need root"
    if shutil.disk_usage(ROOT).free < DISK_GIB * 2**30:
        return f"{DISK_GIB} GiB of free disk space are required"
    return None


def cached_wheel() -> Path | None:
    """Return the folder of an mmcv wheel that fits the image's Python 3.11 and CPU torch."""
    if sys.version_info[:2] != (3, 11):
        return None
    folder = installer().wheel_folder(Path(sys.prefix), "cpu")
    return folder if "+cpu" in folder.name and list(folder.glob("mmcv-*.whl")) else None


class Image:
    """An image in its own store, deleted with it.

    Args:
        store: folder for layers and intermediate files.
        wheel: folder of a built mmcv wheel, which compiled operators then take.
        source: what the image is made of; by default this checkout.
    """

    def __init__(self, store: Path, wheel: Path | None, source: Path = ROOT) -> None:
        self.store, self.wheel, self.source = store, wheel, source
        self.log = store / "build.log"
        self.container = ""
        store.mkdir(parents=True, exist_ok=True)
        self.environment = dict(
            os.environ,
            STORE=str(store),
            # The Debian base takes a minute to create and is cached next to the built wheels.
            BASE_ARCHIVE=str(installer().cache_root().parent / "debian-bookworm.tar"),
            CONTAINERS_STORAGE_CONF=str(store / "storage.conf"),
            TMPDIR=str(store / "tmp"),
        )

    def build(self, *options: str) -> None:
        """Build; the output goes to ``self.log``."""
        context = self.store / "context"
        self._copy_context(context)
        command = [ROOT / "docker" / "buildah.sh", TAG, context, "--layers=false", *options]
        with self.log.open("w") as log:
            done = subprocess.run(
                command, env=self.environment, stdout=log, stderr=subprocess.STDOUT
            )
        if done.returncode:
            tail = self.log.read_text().splitlines()[-30:]
            raise RuntimeError("the image was not built:\n" + "\n".join(tail))
        self.container = self.buildah("from", TAG).stdout.strip()

    def run(
        self, *arguments: str, mounts: dict[str, Path] | None = None, user: str = "", raw=False
    ) -> subprocess.CompletedProcess:
        """Run the image's entrypoint (or, with ``raw``, a program) without any network."""
        volumes = [f"--volume={path}:{target}" for target, path in (mounts or {}).items()]
        users = ["--user", user] if user else []
        start = [] if raw else self.config()["Entrypoint"]
        command = ["run", "--isolation", "chroot", *volumes, *users, self.container, "--", *start]
        return self.buildah(*command, *arguments, offline=True, check=False)

    def sif(self) -> Path:
        """Turn the image into an Apptainer file with docker/apptainer.def; its test runs in it."""
        folder = self.store / "apptainer"
        folder.mkdir()
        self.buildah("push", TAG, f"docker-archive:{folder / 'rankdet.tar'}:rankdet:latest")
        definition = self.source / "docker" / "apptainer.def"
        # The test runs separately: root in a container may lack permissions during the build.
        for arguments in (
            ("build", "--notest", "rankdet.sif", str(definition)),
            ("test", "rankdet.sif"),
        ):
            done = self.apptainer(*arguments)
            if done.returncode:
                raise RuntimeError(f"no SIF:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
        (folder / "rankdet.tar").unlink()
        return folder / "rankdet.sif"

    def apptainer(self, *arguments: str) -> subprocess.CompletedProcess:
        """Run Apptainer in the folder of its file; its caches stay in the store."""
        folder = self.store / "apptainer"
        places = {f"APPTAINER_{name}": str(folder) for name in ("TMPDIR", "CACHEDIR")}
        return subprocess.run(
            ["apptainer", *arguments],
            env={**os.environ, **places},
            cwd=folder,
            capture_output=True,
            text=True,
        )

    def config(self) -> dict:
        """Return user, entrypoint, labels and environment as the image has them."""
        found = self.buildah("inspect", "--type", "image", TAG)
        return json.loads(found.stdout)["Docker"]["config"]

    def size(self) -> int:
        """Return the size of all layers in bytes."""
        images = json.loads(self.buildah("images", "--json").stdout)
        text = next(row["size"] for row in images if TAG in (row["names"] or []))
        number, unit = text.split()
        return round(float(number) * {"KB": 1e3, "MB": 1e6, "GB": 1e9}[unit])

    def buildah(self, *arguments: str, offline: bool = False, check: bool = True):
        """Run Buildah on this store."""
        command = [*(["unshare", "-n"] if offline else []), "buildah", *arguments]
        return subprocess.run(
            command, env=self.environment, capture_output=True, text=True, check=check
        )

    def remove(self) -> None:
        """Remove image, layers and store."""
        self.buildah("rm", "--all", check=False)
        self.buildah("rmi", "--all", "--force", check=False)
        shutil.rmtree(self.store, ignore_errors=True)

    def _copy_context(self, context: Path) -> None:
        """Copy what .dockerignore lets in, and the wheel; the checkout itself stays as it is."""
        lines = (self.source / ".dockerignore").read_text().splitlines()
        names = [line[1:] for line in lines if line.startswith("!")]
        shutil.rmtree(context, ignore_errors=True)
        context.mkdir()
        for name in [*names, "Dockerfile", ".dockerignore"]:
            source = self.source / name
            if source.is_dir():
                shutil.copytree(source, context / name, ignore=shutil.ignore_patterns("*.whl"))
            else:
                shutil.copy(source, context)
        if self.wheel:
            shutil.copytree(self.wheel, context / "docker" / "wheels" / self.wheel.name)
