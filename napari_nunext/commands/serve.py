"""``napari-nunext serve`` and ``key``: a server for several people, and their keys."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from napari_nunext.serving.settings import ServerSettings

KEYS_FILE = Path("keys.txt")


def add_serve(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``serve``, apart from the checkpoints."""
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=8123, help="0 for any free port")
    parser.add_argument(
        "--token-file", type=Path, metavar="FILE", help="holds the token that callers must show"
    )
    parser.add_argument(
        "--keys", type=Path, metavar="FILE", help="holds a key for each person (see `key`)"
    )
    parser.add_argument("--log-json", action="store_true", help="log one JSON object a line")
    parser.add_argument(
        "--waiting", type=int, metavar="N", help="requests that may wait (default: 64)"
    )
    parser.add_argument(
        "--max-image-mpx", type=float, metavar="N", help="largest image, million pixels"
    )
    parser.add_argument("--max-run-s", type=float, metavar="S", help="longest run (default: 6 h)")
    parser.add_argument(
        "--drain-s", type=float, metavar="S", help="time to end after SIGTERM (default: 60)"
    )


def add_key(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``key``."""
    parser.add_argument("name", help="whose key it is; never logged")
    parser.add_argument(
        "--keys", type=Path, default=KEYS_FILE, metavar="FILE", help=f"(default: {KEYS_FILE})"
    )


def serve_command(args: argparse.Namespace, tell: Callable[[str], None]) -> int:
    """Run a server until it is told to stop; on POSIX, one that is started again if it dies.

    Raises
    ------
    InputError
        If a limit, the token, the keys or the address cannot be used.
    OSError
        If the token cannot be read.
    """
    from napari_nunext.serving.keys import Keyring
    from napari_nunext.serving.logs import start_logging

    settings = _settings(args)
    Keyring(settings.secret, settings.keys_file)  # says now what is wrong with the file
    start_logging(as_json=args.log_json)

    def ready(url: str) -> None:
        tell(f"Serving at {url} (Ctrl+C ends it)")
        if settings.token is None and settings.secret:
            tell(f"Token: {settings.secret}")

    if os.name == "posix":
        from napari_nunext.serving.supervisor import supervised

        return supervised(settings, args.models, as_json=args.log_json, ready=ready)
    from napari_nunext.models.catalog import Catalog
    from napari_nunext.serving.serve import serve
    from napari_nunext.serving.settings import model_folders

    catalog = Catalog(model_folders(args.models))
    return 0 if serve(settings, catalog, ready=lambda url, _: ready(url)) else 1


def key_command(args: argparse.Namespace, tell: Callable[[str], None]) -> int:
    """Make a key, and show it for the only time."""
    from napari_nunext.serving.keys import add_key as make

    key, id_ = make(args.keys, args.name)
    tell(f"Key of {args.name}, shown only now: {key}")
    tell(f"Logs know it as {id_}. Take the line out of {args.keys} to end it.")
    return 0


def _settings(args: argparse.Namespace) -> ServerSettings:
    from napari_nunext.serving.settings import ServerSettings

    token = None
    if args.token_file is not None:
        token = args.token_file.read_text(encoding="utf-8").strip()
    limits = {
        "waiting_jobs": args.waiting,
        "max_image_pixels": args.max_image_mpx and int(args.max_image_mpx * 1e6),
        "max_run_s": args.max_run_s,
        "drain_s": args.drain_s,
    }
    return ServerSettings(
        host=args.host,
        port=args.port,
        token=token,
        keys_file=args.keys,
        **{name: value for name, value in limits.items() if value is not None},
    )
