"""``napari-nunext serve`` and ``key``: a server for several people, and their keys."""

from __future__ import annotations

import argparse
import os
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from napari_nunext.core.errors import InputError
from napari_nunext.core.process.options import port, positive
from napari_nunext.core.process.precision import PRECISION_HELP, PRECISIONS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from napari_nunext.core.process.vllm_address import VllmAddress
    from napari_nunext.serving.settings import ServerSettings

KEYS_FILE = Path("keys.txt")


def add_serve(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``serve``, apart from the checkpoints."""
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=port, default=8123, help="0 for any free port")
    parser.add_argument(
        "--token-file", type=Path, metavar="FILE", help="holds the token that callers must show"
    )
    parser.add_argument(
        "--keys", type=Path, metavar="FILE", help="holds a key for each person (see `key`)"
    )
    parser.add_argument("--log-json", action="store_true", help="log one JSON object a line")
    parser.add_argument(
        "--waiting", type=positive, metavar="N", help="requests that may wait (default: 64)"
    )
    parser.add_argument(
        "--max-image-mpx", type=float, metavar="N", help="largest image, million pixels"
    )
    parser.add_argument(
        "--embeddings-mib", type=float, metavar="N", help="memory for further clicks (default: 256)"
    )
    parser.add_argument("--dtype", choices=PRECISIONS, default="auto", help=PRECISION_HELP)
    parser.add_argument("--max-run-s", type=float, metavar="S", help="longest run (default: 6 h)")
    parser.add_argument(
        "--drain-s", type=float, metavar="S", help="time to end after SIGTERM (default: 60)"
    )
    parser.add_argument(
        "--limit",
        action="append",
        default=[],
        metavar="NAME=N",
        help="any other limit of docs/server.md; may be given several times",
    )

    add_answerers(parser)

    vllm = parser.add_argument_group("a checkpoint that runs in vLLM (see docs/vllm.md)")
    vllm.add_argument("--vllm", type=Path, metavar="CHECKPOINT", help="start vLLM on it")
    vllm.add_argument(
        "--vllm-python", type=Path, metavar="PYTHON", help="of the environment that has vLLM"
    )
    vllm.add_argument(
        "--vllm-lora",
        type=_adapter,
        action="append",
        default=[],
        metavar="NAME=DIR",
        help="an adapter of the checkpoint, a detector of its own; may be given again",
    )
    vllm.add_argument(
        "--vllm-option",
        action="append",
        default=[],
        metavar="OPTION",
        help="passed on, for example --vllm-option=--data-parallel-size=8; may be given again",
    )
    vllm.add_argument(
        "--vllm-url",
        metavar="URL",
        help="a vLLM that runs on the checkpoint already; its key is taken from VLLM_API_KEY",
    )


def _adapter(text: str) -> tuple[str, Path]:
    name, equals, folder = text.partition("=")
    if not (name and equals and folder):
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form NAME=DIR")
    return name, Path(folder)


def add_answerers(parser: argparse.ArgumentParser) -> None:
    """Let a command be told whom to ask."""
    parser.add_argument(
        "--answerer",
        action="append",
        default=[],
        metavar="NAME=URL#MODEL|FOLDER",
        help="a model of an OpenAI-compatible server, or in a folder, to be asked questions (see "
        "docs/ask.md); a server's key is taken from NAPARI_NUNEXT_KEY_NAME; may be given again",
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
    from napari_nunext.serving.http.keys import Keyring
    from napari_nunext.serving.process.logs import start_logging

    settings = _settings(args)
    Keyring(settings.secret, settings.keys_file)  # says now what is wrong with the file
    start_logging(as_json=args.log_json)
    with _vllm(args) as address:
        return _serve(replace(settings, vllm=address), args, tell)


def _serve(settings: ServerSettings, args: argparse.Namespace, tell: Callable[[str], None]) -> int:
    def ready(url: str) -> None:
        tell(f"Serving at {url} (Ctrl+C ends it)")
        if settings.token is None and settings.secret:
            tell(f"Token: {settings.secret}")

    if os.name == "posix":
        from napari_nunext.serving.process.supervisor import supervised

        return supervised(settings, args.models, as_json=args.log_json, ready=ready)
    from napari_nunext.models.catalog import Catalog
    from napari_nunext.models.vllm.offer import vllm_offers
    from napari_nunext.serving.process.serve import serve
    from napari_nunext.serving.settings import model_folders

    catalog = Catalog(
        model_folders(args.models),
        engines=vllm_offers(settings.vllm),
        embeddings_bytes=settings.embeddings_bytes,
        precision=settings.precision,
    )
    return 0 if serve(settings, catalog, ready=lambda url, _: ready(url)) else 1


@contextmanager
def _vllm(args: argparse.Namespace) -> Iterator[VllmAddress | None]:
    """Start vLLM where that is wanted, and keep it running for as long as the block lasts."""
    if args.vllm is None:
        if args.vllm_url or args.vllm_lora or args.vllm_option or args.vllm_python:
            raise InputError("Which checkpoint vLLM serves is missing. Name it with --vllm.")
        yield None
        return
    from napari_nunext.core.process.vllm_address import VllmAddress
    from napari_nunext.models.vllm.launch import Launch, find_python
    from napari_nunext.models.vllm.names import KEY_VARIABLE

    launch = Launch(args.vllm, dict(args.vllm_lora), tuple(args.vllm_option))
    if args.vllm_url:
        if args.vllm_option or args.vllm_python:
            raise InputError(
                f"The vLLM at {args.vllm_url} runs already. Give it its options where it is "
                "started, or leave out --vllm-url."
            )
        key = os.environ.get(KEY_VARIABLE)
        yield VllmAddress(args.vllm_url, launch.folder, launch.name, launch.adapters, key)
        return
    from napari_nunext.serving.process.engine import EngineKeeper

    with EngineKeeper(launch, find_python(args.vllm_python)).running() as url:
        yield VllmAddress(url, launch.folder, launch.name, launch.adapters)


def key_command(args: argparse.Namespace, tell: Callable[[str], None]) -> int:
    """Make a key, and show it for the only time."""
    from napari_nunext.serving.http.keys import add_key as make

    key, id_ = make(args.keys, args.name)
    tell(f"Key of {args.name}, shown only now: {key}")
    tell(f"Logs know it as {id_}. Take the line out of {args.keys} to end it.")
    return 0


def _settings(args: argparse.Namespace) -> ServerSettings:
    from napari_nunext.serving.client.answerers import answerers_of
    from napari_nunext.serving.settings import MIB, ServerSettings

    further = dict(_limit(text) for text in args.limit)
    token = None
    if args.token_file is not None:
        try:
            token = args.token_file.read_text(encoding="utf-8").strip()
        except UnicodeDecodeError as error:
            raise InputError(
                f"{args.token_file} is no text; expected a file with the token alone."
            ) from error
    limits = {
        "waiting_jobs": args.waiting,
        "max_image_pixels": args.max_image_mpx and int(args.max_image_mpx * 1e6),
        "embeddings_bytes": args.embeddings_mib and int(args.embeddings_mib * MIB),
        "max_run_s": args.max_run_s,
        "drain_s": args.drain_s,
    }
    return ServerSettings(
        host=args.host,
        port=args.port,
        token=token,
        keys_file=args.keys,
        precision=args.dtype,
        answerers=answerers_of(args.answerer),
        **further | {name: value for name, value in limits.items() if value is not None},
    )


def _limit(text: str) -> tuple[str, float]:
    from napari_nunext.serving.settings import LIMITS

    name, _, number = text.partition("=")
    if name not in LIMITS:
        raise InputError(
            f"--limit {text!r} names no limit; expected NAME=N with one of {', '.join(LIMITS)}."
        )
    try:
        return name, LIMITS[name](number)
    except ValueError as error:
        whole = "a whole number" if LIMITS[name] is int else "a number"
        raise InputError(f"--limit {text!r} gives no number; expected {name}={whole}.") from error
