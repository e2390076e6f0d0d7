"""What the server does, apart from HTTP: images, models, jobs, and its end.

The methods belong to the event loop's thread. What takes time is handed to the worker.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Literal

from napari_nunext import __version__
from napari_nunext.serving.health.device import device_name, resident_bytes
from napari_nunext.serving.health.failures import failure
from napari_nunext.serving.health.metrics import Metrics
from napari_nunext.serving.health.self_check import free_disk_bytes, free_memory_bytes, problems
from napari_nunext.serving.jobs.desk import Desk
from napari_nunext.serving.jobs.kinds import KINDS
from napari_nunext.serving.jobs.worker import at_one_go
from napari_nunext.serving.models.answerers import Answerers
from napari_nunext.serving.models.budget import Budget
from napari_nunext.serving.models.images import ImageStore, Upload
from napari_nunext.serving.models.shelf import Shelf
from napari_nunext.serving.protocol import Failed, Health
from napari_nunext.serving.refusals import (
    Refusal,
    busy,
    draining,
    file_not_taken,
    too_large_to_decode,
)
from napari_nunext.serving.rows import ArrivingRows

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from napari_nunext.core.image.source import ImageSource
    from napari_nunext.serving.ask_protocol import AnswererInfo
    from napari_nunext.serving.jobs.kind import Kind
    from napari_nunext.serving.jobs.work import Work
    from napari_nunext.serving.models.shelf import ModelCatalog
    from napari_nunext.serving.protocol import JobRequest, ModelInfo
    from napari_nunext.serving.settings import ServerSettings


class Service:
    """A model server's state and work.

    Parameters
    ----------
    settings : ServerSettings
    catalog : ModelCatalog
        Asked for descriptions from any thread, and to load from the worker's alone.
    """

    def __init__(self, settings: ServerSettings, catalog: ModelCatalog) -> None:
        self.settings = settings
        self.images = ImageStore(settings.image_store_bytes, settings.max_image_pixels)
        self.metrics = Metrics()
        self._shelf = Shelf(catalog, Answerers(settings.answerers, precision=settings.precision))
        self._desk = Desk(settings, self.metrics)
        self._worker = self._desk.worker
        self.kinds: list[Kind[Any]] = [kind(self._shelf, self.metrics) for kind in KINDS]
        self._decoders = asyncio.Semaphore(settings.decoders)
        self._decoding = Budget(settings.max_decoding_bytes)
        self._draining = False
        self._watch()

    def _watch(self) -> None:
        watch, worker = self.metrics.watch, self._worker
        watch("nunext_jobs_waiting", "Jobs that have not begun.", lambda: worker.waiting)
        watch("nunext_jobs_under_way", "Jobs that take turns.", lambda: worker.under_way)
        watch("nunext_step_seconds", "How long the present step has taken.", worker.step_s)
        watch("nunext_decoding_bytes", "Decoders' memory.", lambda: self._decoding.used_bytes)
        watch("nunext_images_bytes", "Pixels kept.", lambda: self.images.size_bytes)
        watch("nunext_embeddings_bytes", "Embeddings kept.", self._shelf.embeddings_bytes)
        watch("nunext_memory_bytes", "Resident memory.", lambda: resident_bytes() or 0)

    # What there is

    def health(self, *, authorised: bool) -> Health:
        """How the server is; to a stranger, only whether it is there."""
        shelf = self._shelf
        status: Literal["ready", "loading", "draining"] = (
            "draining" if self._draining else "loading" if shelf.loading else "ready"
        )
        if not authorised:
            return Health(status=status, version=__version__)
        return Health(
            status=status,
            version=__version__,
            device=device_name(),
            memory_bytes=resident_bytes(),
            loaded=list(shelf.loaded),
            problems=problems(
                died=self.settings.died,
                step_s=self._worker.step_s(),
                out_of_memory=self._desk.out_of_memory,
                default_problem=shelf.default_problem,
                away=shelf.away(),
                disk_bytes=free_disk_bytes(),
                memory_bytes=free_memory_bytes(),
            ),
        )

    def models(self) -> list[ModelInfo]:
        """Every model, looked for anew. Reads the disk: from any thread but the loop's."""
        return self._shelf.describe_all()

    def answerers(self) -> list[AnswererInfo]:
        """Every answerer, and whether it can be asked. Asks their servers: as `models`."""
        return self._shelf.answerers.describe_all()

    def preload(self) -> None:
        """Load the default detector, when nothing else is to be done."""
        self._worker.submit(at_one_go(self._shelf.preload))

    def image(self, sha256: str) -> ImageSource:
        """An image that was uploaded; `Refusal` 404 where it is not there (any more)."""
        image = self.images.get(sha256)
        if image is None:
            raise Refusal(
                404,
                "unknown_image",
                "The model server does not have this image (any more). Send it again.",
            )
        return image

    # What is asked of it

    async def put_image(self, body: bytes, sha256: str) -> ImageSource:
        """Decode an image file and keep it.

        Raises
        ------
        Refusal
            413 when decoding would take more memory than there is for it, 429 when it had to wait
            too long for others, 503 when the server is about to stop, 507 when its disk is full.
        ImageError
            As `ImageStore.take_in` and `Upload.decode`.
        """
        self._refuse_if_draining()
        try:
            upload = await asyncio.to_thread(self.images.take_in, body)
            image = await self._decode(upload, sha256)
        except OSError as error:
            said = failure("Taking in the image", error)
            status = 507 if said.code == "disk_full" else 500
            raise Refusal(status, said.code, said.message) from error
        self.images.put(sha256, image)
        return image

    async def take_file(self, path: Path, sha256: str) -> ImageSource:
        """Read an image from a file of this machine, and keep it.

        Raises
        ------
        Refusal
            422 when it is not this image or cannot be read, whatever the reason: the caller can
            send its pixels. Else as `put_image`.
        """
        self._refuse_if_draining()
        try:
            upload = await asyncio.to_thread(self.images.take_file, path)
            image = await self._decode(upload, sha256)
        except (ValueError, OSError) as error:  # an ImageError is the first
            raise file_not_taken() from error
        self.images.put(sha256, image)
        return image

    async def put_rows(self, body: AsyncIterator[bytes], sha256: str) -> ImageSource:
        """Decode an image as its rows come (`napari_nunext.serving.rows`), and keep it.

        Raises
        ------
        Refusal, ImageError
            As `put_image`.
        """
        self._refuse_if_draining()
        rows, needed = ArrivingRows(), 0
        try:
            async for part in body:
                rows.add(part)
                if not needed and rows.size_px is not None:
                    width_px, height_px = rows.size_px
                    self.images.check_size(width_px, height_px, 3 * width_px * height_px)
                    await self._take_memory(rows.needed_bytes)
                    needed = rows.needed_bytes
                if needed and rows.has_block:
                    async with self._decoders:
                        await asyncio.to_thread(rows.decode)
            image = await asyncio.to_thread(Upload(rows.image()).decode, sha256)
        finally:
            self._decoding.give_back(needed)
        self.images.put(sha256, image)
        return image

    async def _take_memory(self, needed: int) -> None:
        """Wait for memory to decode in. It has to be given back."""
        if needed > self._decoding.capacity_bytes:
            raise too_large_to_decode(needed, self._decoding.capacity_bytes)
        try:
            async with asyncio.timeout(self.settings.max_upload_s):
                await self._decoding.take(needed)
        except TimeoutError:
            raise busy("all", 5) from None

    async def _decode(self, upload: Upload, sha256: str) -> ImageSource:
        """Decode when there is memory for it; who hangs up meanwhile takes none any more."""
        needed = upload.image.reading_bytes
        try:
            await self._take_memory(needed)
        except BaseException:
            upload.close()
            raise
        work = asyncio.ensure_future(self._decode_in_turn(upload, sha256))
        # Not before it is over: a decoder that began cannot be stopped.
        work.add_done_callback(lambda _: self._decoding.give_back(needed))
        return await asyncio.shield(work)

    async def _decode_in_turn(self, upload: Upload, sha256: str) -> ImageSource:
        async with self._decoders:
            return await asyncio.to_thread(upload.decode, sha256)

    async def begin(self, kind: Kind[Any], request: JobRequest, user: str = "") -> Work:
        """Put a job in the queue.

        Raises
        ------
        Refusal
            404 for an image or model that is not there, 409 for an id in use, 422 for a model that
            cannot be served, 429 when too much waits, 503 when the server is about to stop.
        InputError
            For what does not fit the image: a region or prompt outside of it, for example.
        """
        self._refuse_if_draining()
        return await self._desk.begin(kind, request, self.image(request.image), user)

    def cancel(self, run_id: str) -> bool:
        """Stop a job, or remember to, if it has yet to arrive. Returns whether it was there."""
        return self._desk.cancel(run_id)

    def forget(self, work: Work) -> None:
        """The answer has ended, by itself or because its reader left."""
        self._desk.end(work)

    # Its end

    @property
    def busy(self) -> bool:
        """Whether anything runs, waits, or has yet to be read by its caller."""
        return self._desk.busy

    def drain(self) -> None:
        """Take no more; what runs and waits goes on. From any thread."""
        self._draining = True

    @property
    def hangs(self) -> bool:
        """Whether a model has not moved for longer than any may."""
        return self._worker.step_s() > self.settings.max_step_s

    def fail_runs(self) -> None:
        """Tell every caller that the server is started again, because a model hangs."""
        self._draining = True
        self._desk.end_all(
            Failed(
                code="hangs",
                message="The model does not move any more; its server is started again. "
                "What was found is kept. Try again, or choose another model.",
            )
        )

    def stop_runs(self) -> None:
        """Stop what runs, and take no more. From any thread."""
        self._draining = True
        self._desk.stop_all()

    def close(self) -> None:
        """Stop what runs, and end the worker. From any thread."""
        self.stop_runs()
        self._desk.close()
        self._shelf.answerers.close()

    def _refuse_if_draining(self) -> None:
        if self._draining:
            raise draining(self.settings.drain_s)
