"""The tables that answer for settings: images with their scales, and categories.

The journal says how they came to be what they are; these say what they are now, inside a
transaction.
"""

from __future__ import annotations

from dataclasses import asdict, fields, replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, delete, insert, select, update

from napari_nunext.core.errors import StoreError
from napari_nunext.core.nuclei import Category
from napari_nunext.store.categories import fold_categories
from napari_nunext.store.entries import ImageEntry, Origin
from napari_nunext.store.tables import journal, schema

if TYPE_CHECKING:
    from sqlalchemy import Row

    from napari_nunext.store.categories import CategoryBook
    from napari_nunext.store.events import Event


def add_image(connection: Connection, entry: ImageEntry) -> ImageEntry:
    """Add an image, or find it again by its hash; see `Project.add_image`."""
    known = _image(connection, entry.sha256)
    if known is None:
        connection.execute(insert(schema.image).values(**asdict(entry)))
        return entry
    if (known.width_px, known.height_px) != (entry.width_px, entry.height_px):
        raise StoreError(
            f"{entry.name} is {entry.width_px} x {entry.height_px} px, but the project "
            f"knows it as {known.width_px} x {known.height_px} px. Open the original file."
        )
    entry = replace(known, path=entry.path, name=entry.name, patient=known.patient or entry.patient)
    of_image = schema.image.c.sha256 == entry.sha256
    connection.execute(update(schema.image).where(of_image).values(**asdict(entry)))
    return entry


def images(connection: Connection) -> tuple[ImageEntry, ...]:
    """The images in the order they were added."""
    query = select(schema.image).order_by(schema.image.c.position)
    return tuple(_entry(row) for row in connection.execute(query))


def known_image(connection: Connection, sha256: str) -> ImageEntry:
    """The image with this hash; `StoreError` where the project has none."""
    entry = _image(connection, sha256)
    if entry is None:
        raise StoreError(f"Image {sha256[:12]} is not in this project; add it first.")
    return entry


def with_scale_of_all(connection: Connection, entry: ImageEntry) -> ImageEntry:
    """An image that is new, with the scale that a person gave all images, if that counts."""
    said = journal.last_of_kind(connection, "set_scale_of_all")
    if said is None or (entry.mpp_source == "file" and not said.payload["over_files"]):
        return entry
    return replace(entry, mpp=said.payload["mpp"], mpp_source="user")


def origins(connection: Connection) -> dict[str, Origin]:
    """What exports said of the images that came from them, by hash; the latest counts."""
    said = journal.read_of_kind(connection, "set_origin")
    return {str(event.image_sha256): Origin(**event.payload["origin"]) for event in said}


def categories(connection: Connection) -> tuple[Category, ...]:
    """The categories in their order."""
    rows = connection.execute(select(schema.category).order_by(schema.category.c.position)).all()
    return tuple(Category(r.name, (r.red, r.green, r.blue)) for r in rows)


def follow(connection: Connection, event: Event) -> None:
    """Carry an event about settings into the table that answers for them."""
    if event.kind == "set_scale":
        connection.execute(
            update(schema.image)
            .where(schema.image.c.sha256 == event.image_sha256)
            .values(mpp=event.payload["mpp"], mpp_source=event.payload["source"])
        )
    elif event.kind == "set_scale_of_all":
        meant = update(schema.image)
        if not event.payload["over_files"]:
            meant = meant.where(schema.image.c.mpp_source != "file")
        connection.execute(meant.values(mpp=event.payload["mpp"], mpp_source="user"))
    elif event.image_sha256 is None:
        _write_categories(connection, fold_categories(journal.read_of_project(connection)))


def _write_categories(connection: Connection, book: CategoryBook) -> None:
    connection.execute(delete(schema.category))
    rows = [
        {"position": i, "name": c.name} | dict(zip(("red", "green", "blue"), c.color, strict=True))
        for i, c in enumerate(book.categories)
    ]
    if rows:
        connection.execute(insert(schema.category), rows)


def _image(connection: Connection, sha256: str) -> ImageEntry | None:
    query = select(schema.image).where(schema.image.c.sha256 == sha256)
    row = connection.execute(query).first()
    return None if row is None else _entry(row)


def _entry(row: Row[Any]) -> ImageEntry:
    return ImageEntry(**{f.name: getattr(row, f.name) for f in fields(ImageEntry)})
