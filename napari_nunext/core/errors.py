"""The error tree.

Every error that a person can cause or mend is a `NunextError` and also the standard type it
specialises, so library users may catch either. A message says what happened, what was found, what
was expected, and the next step, in one or two sentences: the app shows it as it is.

    NunextError
    ├── InputError (ValueError)         something given to us cannot be used
    │   ├── ImageError                  unreadable, truncated, too large, of a kind we do not read
    │   │   ├── DamagedRegionError      part of a slide; the rest of it can be read
    │   │   ├── ImageMissingError       a known image is nowhere to be found
    │   │   └── OtherImageError         what lies in a known image's place is another image
    │   ├── CalibrationError            micrometres per pixel missing or absurd
    │   ├── CheckpointError             not a NuNext checkpoint, or one we cannot serve
    │   └── RecordError                 an export or record that does not hold together
    ├── StoreError (RuntimeError)       the review project cannot be read or written
    │   ├── ProjectLockedError          another window has it open
    │   └── StorageError                the disk fails us now, and may not later
    └── ServerError (ConnectionError)   the model server
        ├── ServerUnavailableError      it does not answer, or died
        └── RequestRejectedError        it answered, and refused; carries the status

A reply of a model that does not parse is data, not an exception: see
`napari_nunext.core.codec.ParseFailure`.
"""

from __future__ import annotations

MALFORMED = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
"""What taking data apart raises where it is not what it should be: numbers too large, other types,
missing fields, text that is none. Of data from elsewhere all of it is the data's fault; an
`InputError`, which is a ValueError too, says so already."""


class NunextError(Exception):
    """Base of every error this project raises on purpose."""


class InputError(NunextError, ValueError):
    """Something given to us cannot be used."""


class ImageError(InputError):
    """An image is unreadable, truncated, too large, or of a kind that is not read."""


class DamagedRegionError(ImageError):
    """Part of an image cannot be decoded. The rest can: whoever reads by windows marks this one.

    Parameters
    ----------
    message : str
    box : tuple of float
        The part: x0, y0, x1, y1, level-0 px.
    """

    def __init__(self, message: str, box: tuple[float, float, float, float]) -> None:
        super().__init__(message)
        self.box = box


class ImageMissingError(ImageError):
    """An image that was reviewed is nowhere to be found."""


class OtherImageError(ImageError):
    """What lies in the place of an image that was reviewed, or has its name, is another image."""


class CalibrationError(InputError):
    """The physical scale (micrometres per pixel) is missing or implausible."""


class CheckpointError(InputError):
    """A folder is not a NuNext checkpoint, or not one that this version can serve."""


class RecordError(InputError):
    """An export or one of its records does not hold together."""


class FreeTextError(RecordError):
    """What people wrote looks as if it named somebody: they are asked before it leaves."""


class MissingPackageError(NunextError, ImportError):
    """Something needs a package that is not installed."""


class StoreError(NunextError, RuntimeError):
    """The review project cannot be read or written."""


class ProjectLockedError(StoreError):
    """Another window or process has the review project open."""


class StorageError(StoreError):
    """The disk or the database fails us now; the same write may succeed later."""


class ServerError(NunextError, ConnectionError):
    """The model server failed us."""


class ServerUnavailableError(ServerError):
    """The model server does not answer, or died in the middle of an answer."""


class RequestRejectedError(ServerError):
    """The model server answered and refused.

    Parameters
    ----------
    message : str
        The server's own sentence.
    status : int
        HTTP status, for example 401 or 422.
    retry_s : float, optional
        When to ask again, where the server says that it will not refuse for ever.
    """

    def __init__(self, message: str, status: int, retry_s: float | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.retry_s = retry_s
