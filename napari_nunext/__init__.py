"""Find, review and correct nuclei with NuNext models, in napari.

Importing this package imports nothing else, so that napari can list the plugin at no cost.
"""

from __future__ import annotations

__version__ = "0.1.0"
