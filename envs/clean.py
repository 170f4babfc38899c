"""`make clean`: delete what the workflow wrote; name and keep every other file."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

ENTRY = (
    r"(checkpoint\.pth|(run|detections|metrics|curves|weights|calibration)\.json|training\.jsonl"
    r"|run\.html|model-card\.md|metafile\.yml)"
)
TABLE = r"[a-z0-9-]+\.(html|md|csv|tex)"
STATE = (
    r"((iter|epoch|stopped)_\d+\.pth|last_checkpoint|running\.(json|lock)|(run_settings|schedule|trackers)\.json"
    r"|run_fingerprint|finished\.(pth|json)|training\.jsonl|sample\.json|drawn-[^/]+\.pth"
    r"|tensorboard/events\.out\.tfevents\.[^/]+)"
)
LOGS = r"(\d{8}_\d{6}/.+|[a-z0-9_]+\.py)"  # of mmengine
OURS = re.compile(
    rf"""
    results/(?!reference/)[^/]+/(
        [^/]+/(seed-\d+/)?{ENTRY} | (all/)?report\.html | verdicts\.csv | ro-crate-metadata\.json
        | (all/)?tables/{TABLE} | [^/]+\.models\.json
        | figures/[a-z_]+\.(svg|png)
        | [^/]+/round-\d+/(state|sample-\d+)\.json | [^/]+/(found\.(json|py)|training\.json)
        | [^/]+/search\.(svg|png|csv|md|html)
    )
    | work/[^/]+/[^/]+/(seed-\d+/)?((old-\d+|predict|[^/]+)/)?({STATE}|{LOGS})
    """,
    re.VERBOSE,
)


def clean(root: Path) -> list[str]:
    """Delete the workflow's files below ``root``; return the names of those that stay."""
    kept = []
    for top in ("results", "work"):
        for folder, folders, names in os.walk(root / top, topdown=False):
            for name in names + folders:
                path = Path(folder, name)
                relative = path.relative_to(root).as_posix()
                if path.is_dir() and not path.is_symlink():
                    if not os.listdir(path):
                        path.rmdir()
                elif OURS.fullmatch(relative):
                    path.unlink()
                elif not relative.startswith("results/reference/"):
                    kept.append(relative)
    return sorted(kept)


if __name__ == "__main__":
    stays = clean(Path.cwd())
    for name in stays:
        print(f"kept, not written by the workflow: {name}", file=sys.stderr)
