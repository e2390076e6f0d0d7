"""``nn.export``: a review project as files, as ``napari-nunext export`` writes them."""

from napari_nunext.commands.export import Written
from napari_nunext.commands.export_arguments import export

__all__ = ["Written", "export"]
