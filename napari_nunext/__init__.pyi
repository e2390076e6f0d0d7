from napari_nunext.api.asking import Answer as Answer
from napari_nunext.api.asking import ask as ask
from napari_nunext.api.detecting import detect as detect
from napari_nunext.api.exporting import Written as Written
from napari_nunext.api.exporting import export as export
from napari_nunext.api.models import Model as Model
from napari_nunext.api.models import list_models as list_models
from napari_nunext.api.models import load_model as load_model
from napari_nunext.api.nuclei import Nuclei as Nuclei
from napari_nunext.api.projects import ProjectTables as ProjectTables
from napari_nunext.api.projects import open_project as open_project
from napari_nunext.api.segmenting import segment as segment
from napari_nunext.api.staining import StainedNuclei as StainedNuclei
from napari_nunext.api.staining import stain as stain

__version__: str
CALLS: dict[str, tuple[str, ...]]
