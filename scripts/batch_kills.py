"""Kill a batch at random windows, over and over: ``python -m scripts.batch_kills [KILLS] [SEED]``.

With ``--ray`` at the end, two workers of a Ray cluster of this machine search, and one for the
batch that is left alone; see `scripts/ray.sh` for an environment that has Ray.

Drawn tissue is searched by the bundled detector. The command is ended by SIGKILL as soon as a
random number of windows is recorded, and started again. The export in the end has to be that of a
batch which was left alone: the same nuclei, with the same uids, places and categories, in the same
order. How sure the detector is of each may differ in the last digits: its arithmetic rounds as the
windows come that are decoded side by side. Prints what happened; 1 where something else differs.
"""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import time
from contextlib import closing, nullcontext, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from napari_nunext.commands.export import export_project
from napari_nunext.core.formats.geojson import CONFIDENCE
from napari_nunext.serving.client.local_server import TOKEN_VARIABLE, LocalServer
from napari_nunext.synthetic import synthesise

if TYPE_CHECKING:
    from collections.abc import Sequence

IMAGES = 3
HEIGHT_PX, WIDTH_PX = 300, 400
MPP = 0.5
LOOK_S = 0.005
ROUNDING = 1e-4


def recorded(project: Path) -> list[tuple[int, int]]:
    """The windows that a project has: run and number."""
    with (
        suppress(sqlite3.Error),
        closing(sqlite3.connect(f"file:{project}?mode=ro", uri=True)) as database,
    ):
        query = "SELECT run, number FROM run_window WHERE number IS NOT NULL"
        return [(run, number) for run, number in database.execute(query)]
    return []


def exported(project: Path) -> tuple[list[Any], list[float]]:
    """What is found, and how sure the detector is of each."""
    out = project.with_suffix(".out")
    export_project(project, out, "geojson")
    features, sure = [], []
    for path in sorted(out.iterdir()):
        for feature in json.loads(path.read_text(encoding="utf-8"))["features"]:
            sure.append(feature["properties"]["measurements"].pop(CONFIDENCE))
            features.append((path.name, feature))
    return features, sure


def begin(images: Path, project: Path, searched_by: Sequence[str]) -> subprocess.Popen[bytes]:
    """Start the command."""
    command = [sys.executable, "-m", "napari_nunext.cli", "detect", str(images)]
    command += ["--mpp", str(MPP), "--project", str(project), *searched_by]
    return subprocess.Popen(command, stderr=subprocess.DEVNULL)


def killed_at(process: subprocess.Popen[bytes], project: Path, windows: int) -> int | None:
    """Kill the command once so many windows are recorded; None where it ended before."""
    while process.poll() is None:
        if len(recorded(project)) >= windows:
            process.kill()
            process.wait()
            return len(recorded(project))
        time.sleep(LOOK_S)
    return None


def main(argv: Sequence[str]) -> int:
    """Compare a batch that is killed with one that is left alone."""
    on_ray = "--ray" in argv
    numbers = [each for each in argv if each != "--ray"]
    kills, seed = (int(value) for value in (*numbers, *("10", "0")[len(numbers) :]))
    rng = np.random.default_rng(seed)
    with TemporaryDirectory() as name:
        folder = Path(name)
        images = folder / "images"
        images.mkdir()
        for number in range(IMAGES):
            drawn = synthesise(rng, height_px=HEIGHT_PX, width_px=WIDTH_PX, mpp=MPP)
            Image.fromarray(drawn.rgb).save(images / f"{number}.png")
        killed, alone = folder / "killed.nunext", folder / "alone.nunext"
        with nullcontext() if on_ray else LocalServer(threads=1) as server:
            if server is None:
                by, by_alone = (["--ray", "--ray-workers", number] for number in "21")
            else:
                os.environ[TOKEN_VARIABLE] = server.token
                by = by_alone = ["--server", server.url]
            if begin(images, alone, by_alone).wait():
                raise RuntimeError("The batch that was left alone failed.")
            windows = len(recorded(alone))
            for at in sorted(rng.choice(np.arange(1, windows), kills, replace=False).tolist()):
                before = set(recorded(killed))
                there = killed_at(begin(images, killed, by), killed, at)
                lost = before - set(recorded(killed))
                print(f"killed at {at} of {windows} windows: {there} recorded, {len(lost)} lost")
                if lost:
                    return 1
            if begin(images, killed, by).wait():
                raise RuntimeError("The batch that was killed failed in the end.")
        (found, sure), (expected, sure_alone) = exported(killed), exported(alone)
        twice = len(recorded(killed)) - len(set(recorded(killed)))
    same = found == expected
    apart = float(np.abs(np.subtract(sure, sure_alone)).max()) if same else float("nan")
    verdict = "are the same" if same else "DIFFER"
    print(
        f"{kills} kills: {len(found)} nuclei {verdict}, confidences by {apart:.1g} at most, "
        f"{twice} windows doubled"
    )
    return 0 if same and apart <= ROUNDING and not twice else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
