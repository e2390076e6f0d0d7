"""The tables of a project, in SQL that SQLite and PostgreSQL share.

Nothing here is ever updated but the image's path and scale, a run's status, the categories, the
sign of who is writing, and the head of the journal; and what windows had found that were not done
goes when their run goes on. JSON is kept as text, so that what was hashed is what is read. A table
that is new here is made for older projects too, in `migrations`.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

SCHEMA_VERSION = 5

metadata = MetaData()

migration = Table(
    "migration",
    metadata,
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("applied_utc", String(40), nullable=False),
    Column("software", String(100), nullable=False),
)

project = Table(
    "project",
    metadata,
    Column("uid", String(36), primary_key=True),
    Column("created_utc", String(40), nullable=False),
    Column("head_seq", Integer, nullable=False),
    Column("head_hash", String(64), nullable=False),
)
"""One row. Its head is the last event: a journal that lost its end does not verify."""

writer = Table(
    "writer",
    metadata,
    Column("annotator", Text, nullable=False),
    Column("host", Text, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("since_utc", String(40), nullable=False),
)
"""At most one row: who opened the project for writing, for the message to whoever comes second."""

image = Table(
    "image",
    metadata,
    Column("position", Integer, primary_key=True),
    Column("sha256", String(64), nullable=False, unique=True),
    Column("path", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("width_px", Integer, nullable=False),
    Column("height_px", Integer, nullable=False),
    Column("mpp", Float(53), nullable=False),
    Column("mpp_source", String(20), nullable=False),
    Column("patient", Text),
)

category = Table(
    "category",
    metadata,
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("name", Text, nullable=False, unique=True),
    Column("red", Integer, nullable=False),
    Column("green", Integer, nullable=False),
    Column("blue", Integer, nullable=False),
)

run = Table(
    "run",
    metadata,
    Column("position", Integer, primary_key=True),
    Column("run_id", String(36), nullable=False, unique=True),
    Column("image_sha256", String(64), ForeignKey(image.c.sha256), nullable=False, index=True),
    Column("info", Text, nullable=False),
    Column("status", String(20), nullable=False),
    Column("annotator", Text, nullable=False),
    Column("started_utc", String(40), nullable=False),
    Column("finished_utc", String(40)),
)

run_window = Table(
    "run_window",
    metadata,
    Column("position", Integer, primary_key=True),
    Column("run", Integer, ForeignKey(run.c.position), nullable=False),
    Column("number", Integer),
    Column("finish", String(20), nullable=False),
    Column("n", Integer, nullable=False),
    Column("names", Text, nullable=False),
    Column("category", LargeBinary, nullable=False),
    Column("xy", LargeBinary, nullable=False),
    Column("confidence", LargeBinary, nullable=False),
    Column("uids", LargeBinary),
    Column("position_error_um", LargeBinary),
    UniqueConstraint("run", "number"),
)
"""Predictions of a run, a window a row, also where a window has none; `store.tables.windows` has
the form. Nuclei that come from no window are in rows without a number, with their uids."""

window_masks = Table(
    "window_masks",
    metadata,
    Column("position", Integer, primary_key=True),
    Column("run_window", Integer, ForeignKey(run_window.c.position), nullable=False, index=True),
    Column("places", LargeBinary, nullable=False),
    Column("masks", LargeBinary, nullable=False),
    Column("crc32", BigInteger, nullable=False),
)
"""Masks of predictions of one row, as many as were drawn together."""

run_hidden = Table(
    "run_hidden",
    metadata,
    Column("position", Integer, primary_key=True),
    Column("run", Integer, ForeignKey(run.c.position), nullable=False, index=True),
    Column("stand", Integer, nullable=False),
    Column("uids", LargeBinary, nullable=False),
)
"""Predictions that the server took back, as many as it did together, or that stand again."""

answer = Table(
    "answer",
    metadata,
    Column("position", Integer, primary_key=True),
    Column("answer_id", String(36), nullable=False, unique=True),
    Column("image_sha256", String(64), ForeignKey(image.c.sha256), nullable=False, index=True),
    Column("asked_together", String(36)),
    Column("annotator", Text, nullable=False),
    Column("asked_utc", String(40), nullable=False),
    Column("asked", Text, nullable=False),
    Column("answered_by", Text, nullable=False),
    Column("said", Text, nullable=False),
    Column("evidence_uids", LargeBinary, nullable=False),
    Column("evidence_xy", LargeBinary, nullable=False),
    Column("evidence_categories", Text),
)
"""Answers to questions, each with all that made it; `store.answers` has the form."""

event = Table(
    "event",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("kind", String(40), nullable=False),
    Column("image_sha256", String(64), ForeignKey(image.c.sha256)),
    Column("uid", String(36)),
    Column("gesture", String(36), nullable=False),
    Column("payload", Text, nullable=False),
    Column("annotator", Text, nullable=False),
    Column("at_utc", String(40), nullable=False),
    Column("previous_hash", String(64), nullable=False),
    Column("hash", String(64), nullable=False),
    Index("event_by_image", "image_sha256", "seq"),
)
