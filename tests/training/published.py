"""Small data sets, each written in the layout that its publishers document.

Every image of `WIDTH` x `HEIGHT` px holds nuclei of 6 x 4 px on a diagonal (`labels`), so that it
is known where they are (`centroid`).
"""

from __future__ import annotations

import io
import json

import numpy as np
import tifffile
from PIL import Image
from scipy.io import savemat

HEIGHT, WIDTH = 40, 48
_PIXELS = np.random.default_rng(5)


def pixels():
    return _PIXELS.integers(0, 255, (HEIGHT, WIDTH, 3), dtype=np.uint8)


def labels(*values):
    """A 4 x 6 px nucleus for each value, from left to right; the first in the corner."""
    image = np.zeros((HEIGHT, WIDTH), dtype=np.uint16)
    for i, value in enumerate(values):
        image[5 * i : 5 * i + 4, 8 * i : 8 * i + 6] = value
    return image


def centroid(i):
    return [8 * i + 3.0, 5 * i + 2.0]


def corners(i):
    """The outline of the i-th nucleus."""
    return [
        (8 * i, 5 * i),
        (8 * i + 6, 5 * i),
        (8 * i + 6, 5 * i + 4),
        (8 * i, 5 * i + 4),
    ]


def save_image(path, rgb=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    rgb = pixels() if rgb is None else rgb
    if path.suffix in (".tif", ".tiff", ".svs"):
        tifffile.imwrite(path, rgb)
    else:
        Image.fromarray(rgb).save(path)


def brca_m2c(folder, *, prefix="brca_ds_", suffix=".png", masks=()):
    """As the publishers have it: the lists name files with their suffix."""
    for split, name in (
        ("train", "TCGA-A1-A0SK-01Z-00-DX1_1_2_1000_1000_0.9824"),
        ("val", "TCGA-A8-A06N-01Z-00-DX1_3"),
    ):
        save_image(folder / "images" / f"{name}.png")
        (folder / "labels").mkdir(exist_ok=True)
        rows = "".join(f"{5 * i + 1} {8 * i + 2} {i + 1}\n" for i in range(3))
        (folder / "labels" / f"{name}_gt_class_coords.txt").write_text(rows)
        (folder / f"{prefix}{split}.txt").write_text(f"{name}{suffix}\n")
        if masks:
            (folder / "masks").mkdir(exist_ok=True)
            Image.fromarray(labels(*masks)).save(folder / "masks" / f"{name}.png")
    return folder


def mat_set(folder, parts, suffix, kinds=None, maps=None):
    """HoVer-Net's layout: CoNSeP, GLySAC, Kumar, CPM."""
    for part, names in parts.items():
        (folder / part / "Labels").mkdir(parents=True)
        for name in names:
            save_image(folder / part / "Images" / f"{name}{suffix}")
            arrays = {"inst_map": labels(2, 5, 6).astype(np.float64)}
            if kinds is not None:
                arrays |= {
                    "type_map": labels(*kinds).astype(np.float64),
                    "inst_type": np.array(kinds)[:, None],
                    "inst_centroid": np.zeros((3, 2)),
                }
            savemat(folder / part / "Labels" / f"{name}.mat", arrays | (maps or {}))
    return folder


def consep(folder):
    parts = {"Train": ["train_1"], "Test": ["test_1"]}
    return mat_set(folder, parts, ".png", kinds=(4, 2, 7))


def glysac(folder):
    return mat_set(folder, {"Train": ["AGC1_1"], "Test": ["EGC1_2"]}, ".tif", kinds=(9, 4, 8))


def kumar(folder):
    parts = {"train": ["TCGA-18-5592-01Z-00-DX1"], "test_same": ["TCGA-21-5784-01Z-00-DX1"]}
    return mat_set(folder, parts, ".tif")


def cpm_17(folder):
    return mat_set(folder, {"train": ["image_00"], "test": ["image_01"]}, ".png")


def cpm_15(folder):
    return mat_set(folder, {".": ["image07", "image08"]}, ".png")


def tnbc(folder):
    for slide in ("01", "02"):
        save_image(folder / f"Slide_{slide}" / f"{slide}_1.png")
        mask = (labels(1, 1, 1) > 0).astype(np.uint8) * 255
        save_image(folder / f"GT_{slide}" / f"{slide}_1.png", mask)
    return folder


def endonuke(folder):
    for white, name in enumerate(("364a2bf_0", "d4cb2de_0", "d4cb2de_3"), start=240):
        pixels = np.full((48, 64, 3), white, dtype=np.uint8)
        pixels[8:24, 8:24] = (90, 50, 25)
        pixels[8:24, 40:56] = (95, 105, 170)
        save_image(folder / "images" / f"{name}.png", pixels)
        (folder / "points").mkdir(exist_ok=True)
        (folder / "points" / f"{name}.csv").write_text("x,y,mpp\n16,16,0.44\n48,16,0.44\n")
    return folder


def cryonuseg(folder):
    for number in ("01", "02"):
        name = f"Human_AdrenalGland_{number}"
        save_image(folder / "tissue images" / f"{name}.tif")
        target = folder / "Annotator 1 (biologist)" / "label masks modify"
        save_image(target / f"{name}.tif", labels(4, 9))
    return folder


def xml_of(rings_by_kind):
    """Annotations of ImageScope: one for each kind; "" for none."""
    annotations = "".join(
        f'<Annotation Id="{i}"><Attributes>'
        + (f'<Attribute Name="{kind}" Id="0" Value=""/>' if kind else "")
        + "</Attributes><Regions><RegionAttributeHeaders/>"
        + "".join(
            "<Region><Vertices>"
            + "".join(f'<Vertex X="{x}" Y="{y}" Z="0"/>' for x, y in ring)
            + "</Vertices></Region>"
            for ring in rings
        )
        + "</Regions></Annotation>"
        for i, (kind, rings) in enumerate(rings_by_kind.items(), start=1)
    )
    return f'<Annotations MicronsPerPixel="0.252">{annotations}</Annotations>'


def monuseg(folder):
    train = folder / "MoNuSeg 2018 Training Data"
    name, other = "TCGA-A7-A13E-01Z-00-DX1", "TCGA-2Z-A9J9-01A-01-TS1"
    save_image(train / "Tissue Images" / f"{name}.tif")
    (train / "Annotations").mkdir()
    (train / "Annotations" / f"{name}.xml").write_text(xml_of({"": [corners(0), corners(1)]}))
    save_image(folder / "MoNuSegTestData" / f"{other}.tif")
    (folder / "MoNuSegTestData" / f"{other}.xml").write_text(xml_of({"": [corners(2)]}))
    return folder


def monusac(folder):
    """The second image came as SVS, and holds a region that nobody could tell apart."""
    train = folder / "MoNuSAC_images_and_annotations" / "TCGA-5P-A9K0-01Z-00-DX1"
    name = f"{train.name}_1"
    save_image(train / f"{name}.tif")
    kinds = {"Epithelial": [corners(0), corners(1)], "Lymphocyte": [corners(2)], "Macrophage": []}
    (train / f"{name}.xml").write_text(xml_of(kinds))
    test = folder / "MoNuSAC Testing Data and Annotations" / "TCGA-2Z-A9JG-01Z-00-DX1"
    name = f"{test.name}_1"
    save_image(test / f"{name}.svs")
    kinds = {"Neutrophil": [corners(0)], "Ambiguous": [corners(3)], "Plasma": [corners(1)]}
    (test / f"{name}.xml").write_text(xml_of(kinds))
    return folder


def pannuke(folder):
    """Three folds as the archives unpack: two images, one, and one without nuclei."""
    for fold, tissues in ((1, ["Adrenal_gland", "Breast"]), (2, ["HeadNeck"]), (3, ["Bile-duct"])):
        images = folder / f"Fold {fold}" / "images" / f"fold{fold}"
        masks = folder / f"Fold {fold}" / "masks" / f"fold{fold}"
        images.mkdir(parents=True)
        masks.mkdir(parents=True)
        n = len(tissues)
        channels = np.zeros((n, HEIGHT, WIDTH, 6))
        if fold < 3:
            channels[0, ..., 0] = labels(7, 0, 0)
            channels[0, ..., 4] = labels(0, 3, 9)
        channels[..., 5] = channels[..., :5].sum(axis=-1) == 0
        np.save(images / "images.npy", np.stack([pixels() for _ in tissues]).astype(np.float64))
        np.save(images / "types.npy", np.array(tissues))
        np.save(masks / "masks.npy", channels)
    return folder


KINDS_OF_PANNUKE = ["Neoplastic", "Inflammatory", "Connective", "Dead", "Epithelial"]
TISSUES_OF_PANNUKE = ["Adrenal Gland", "Bile Duct", "Breast"]


def png(array):
    """A cell with a picture, as the library datasets keeps it."""
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "png")
    return {"bytes": buffer.getvalue(), "path": None}


def pannuke_parquet(folder, *, empty=False, metadata=True):
    """As Hugging Face has it: numbers, and what they mean in the metadata of the file."""
    import pyarrow as pa
    from pyarrow import parquet

    feature = {
        "image": {"mode": "RGB", "_type": "Image"},
        "instances": {"feature": {"mode": "1", "_type": "Image"}, "_type": "Sequence"},
        "categories": {
            "feature": {"names": KINDS_OF_PANNUKE, "_type": "ClassLabel"},
            "_type": "Sequence",
        },
        "tissue": {"names": TISSUES_OF_PANNUKE, "_type": "ClassLabel"},
    }
    (folder / "data").mkdir(parents=True)
    for fold in (1, 2, 3):
        drawn = [png(labels(*(1 if i == j else 0 for j in range(3))) > 0) for i in range(3)]
        if empty:
            drawn[1] = png(np.zeros((HEIGHT, WIDTH), dtype=bool))
        rows = [
            {"image": png(pixels()), "instances": drawn, "categories": [0, 4, 3], "tissue": 0},
            {"image": png(pixels()), "instances": [], "categories": [], "tissue": 2},
        ]
        cell = pa.struct({"bytes": pa.binary(), "path": pa.string()})
        schema = pa.schema(
            {
                "image": cell,
                "instances": pa.list_(cell),
                "categories": pa.list_(pa.int64()),
                "tissue": pa.int64(),
            },
            metadata={"huggingface": json.dumps({"info": {"features": feature}})}
            if metadata
            else None,
        )
        table = pa.Table.from_pylist(rows, schema=schema)
        path = folder / "data" / f"fold{fold}-00000-of-00001.parquet"
        parquet.write_table(table, path, row_group_size=1)
    return folder


def lizard(folder, classes=(2, 3, 6), ids=(2, 5, 6)):
    """Nuclei are numbered with gaps; the list of images has them in another order."""
    rows = [("consep_1", "consep", 1), ("crag_2", "crag", 2), ("glas_3", "glas", 3)]
    labels_folder = folder / "lizard_labels" / "Lizard_Labels"
    (labels_folder / "Labels").mkdir(parents=True)
    for number, (name, _, _) in enumerate(rows):
        part = 1 + number % 2
        save_image(folder / f"lizard_images{part}" / f"Lizard_Images{part}" / f"{name}.png")
        save_image(folder / "overlay" / "Overlay" / f"{name}.png")
        order = [1, 0, 2]
        arrays = {
            "inst_map": labels(2, 5, 6).astype(np.int32),
            "id": np.array(ids)[order][:, None],
            "class": np.array(classes)[order][:, None],
            "bbox": np.zeros((3, 4)),
            "centroid": np.zeros((3, 2)),
        }
        savemat(labels_folder / "Labels" / f"{name}.mat", arrays)
    lines = ["Filename,Source,Split", *(",".join(map(str, row)) for row in rows[::-1])]
    (labels_folder / "info.csv").write_text("\n".join(lines) + "\n")
    return folder


def conic(folder, kinds=(2, 3, 6)):
    folder.mkdir(parents=True, exist_ok=True)
    patches = ["consep_1-0000", "consep_1-0001", "glas_2-0000"]
    np.save(folder / "images.npy", np.stack([pixels() for _ in patches]))
    maps = np.stack([labels(2, 5, 6), labels(*kinds)], axis=-1)
    np.save(folder / "labels.npy", np.stack([maps] * len(patches)))
    (folder / "patch_info.csv").write_text("patch_info\n" + "\n".join(patches) + "\n")
    (folder / "counts.csv").write_text("neutrophil,epithelial\n0,1\n0,1\n0,1\n")
    return folder


def nuinsseg(folder):
    for organ, name in (("human bladder", "human_bladder_01"), ("mouse liver", "mouse_liver_02")):
        save_image(folder / organ / "tissue images" / f"{name}.png")
        save_image(folder / organ / "label masks modify" / f"{name}.tif", labels(3, 8, 9))
        save_image(folder / organ / "label masks" / f"{name}.tif", labels(1))
        save_image(folder / organ / "ambiguous area masks" / f"{name}.tif", labels(0, 0, 0, 1))
        (folder / organ / "Imagej_zips").mkdir()
        (folder / organ / "Imagej_zips" / f"{name}.zip").write_bytes(b"PK")
    return folder


def puma(folder, kinds=("nuclei_tumor", "nuclei_plasma_cell", "nuclei_stroma")):
    for name in ("training_set_metastatic_roi_001", "training_set_primary_roi_002"):
        rgba = np.dstack([pixels(), np.full((HEIGHT, WIDTH), 255, dtype=np.uint8)])
        path = folder / "01_training_dataset_tif_ROIs" / f"{name}.tif"
        path.parent.mkdir(parents=True, exist_ok=True)
        tifffile.imwrite(path, rgba, photometric="rgb", extrasamples=["unassalpha"])
        features = [
            {
                "type": "Feature",
                "geometry": {"type": "Polygon", "coordinates": [[*corners(i), corners(i)[0]]]},
                "properties": {
                    "objectType": "annotation",
                    "classification": {"name": kind, "color": [1, 2, 3]} if kind else None,
                },
            }
            for i, kind in enumerate(kinds)
        ]
        for what, content in (("nuclei", features), ("tissue", features[:1])):
            target = folder / f"01_training_dataset_geojson_{what}" / f"{name}_{what}.geojson"
            target.parent.mkdir(exist_ok=True)
            target.write_text(json.dumps({"type": "FeatureCollection", "features": content}))
    return folder


def midog(folder, *, name="MIDOG++.json", of_coco=False):
    """Two cases: two figures and a look-alike, and a look-alike alone."""

    def box(i):
        x, y = centroid(i)
        return [x - 25, y - 25, 50, 50] if of_coco else [x - 25, y - 25, x + 25, y + 25]

    found = [(1, 1, 0), (1, 1, 1), (1, 2, 2), (2, 2, 3)]
    data = {
        "info": {"description": "MIDOG"},
        "images": [
            {"id": i, "file_name": f"{i:03d}.tiff", "width": WIDTH, "height": HEIGHT}
            | ({"tumor_type": "canine lung cancer"} if "++" in name else {})
            for i in (1, 2)
        ],
        "annotations": [
            {"id": n, "image_id": image, "category_id": kind, "bbox": box(i), "labels": []}
            for n, (image, kind, i) in enumerate(found)
        ],
        "categories": [{"id": 1, "name": "mitotic figure"}, {"id": 2, "name": "hard negative"}],
    }
    for i in (1, 2):
        save_image(folder / "images" / f"{i:03d}.tiff")
    (folder / name).write_text(json.dumps(data))
    return folder


NUCLS_HEAD = (
    "raw_classification,main_classification,super_classification,type,xmin,ymin,xmax,ymax,"
    "coords_x,coords_y"
)


def nucls_row(i, raw, main, kind):
    (x0, y0), _, (x1, y1), _ = corners(i)
    xs, ys = (",".join(str(v) for v in axis) for axis in zip(*corners(i), strict=True))
    return f'{raw},{main},x,{kind},{x0},{y0},{x1},{y1},"{xs}","{ys}"'


def nucls(folder):
    rows = [
        nucls_row(0, "tumor", "tumor_nonMitotic", "polyline"),
        nucls_row(1, "lymphocyte", "lymphocyte", "rectangle"),
        nucls_row(2, "unlabeled", "AMBIGUOUS", "rectangle"),
    ]
    for name in ("TCGA-A1-A0SP-DX1_id-5ea_left-70_top-5", "TCGA-S3-AA15-DX1_id-6ea_left-1_top-2"):
        save_image(folder / "QC" / "rgb" / f"{name}.png")
        (folder / "QC" / "csv").mkdir(exist_ok=True)
        (folder / "QC" / "csv" / f"{name}.csv").write_text("\n".join([NUCLS_HEAD, *rows]) + "\n")
    (folder / "QC" / "csv" / "ALL_FOV_LOCATIONS.csv").write_text("xmin,ymin,xmax,ymax\n1,2,3,4\n")
    splits = folder / "QC" / "train_test_splits"
    splits.mkdir()
    (splits / "fold_1_test.csv").write_text(",slide_name,hospital\n0,TCGA-S3-AA15-DX1,S3\n")
    return folder


def any_folder(folder):
    for name in ("a.1", "b"):
        save_image(folder / "images" / f"{name}.png")
        (folder / "labels").mkdir(exist_ok=True)
        lines = ["x,y,category", "3,2,Tumour", "11,7,Stroma"]
        (folder / "labels" / f"{name}.csv").write_text("\n".join(lines) + "\n")
    return folder


def dsb2018(folder):
    """Tiles that their names put to training, testing and validating, in this order."""
    for name in ("00", "03", "04"):
        save_image(folder / "images" / f"{name}.png")
        save_image(folder / "labels" / f"{name}.png", labels(1, 2, 3))
    return folder


SETS = {
    "brca-m2c": brca_m2c,
    "pannuke": pannuke,
    "consep": consep,
    "glysac": glysac,
    "kumar": kumar,
    "cpm-17": cpm_17,
    "cpm-15": cpm_15,
    "tnbc": tnbc,
    "endonuke": endonuke,
    "cryonuseg": cryonuseg,
    "monusac": monusac,
    "monuseg": monuseg,
    "lizard": lizard,
    "conic": conic,
    "nuinsseg": nuinsseg,
    "puma": puma,
    "midog": midog,
    "nucls": nucls,
    "folder": any_folder,
    "dsb2018": dsb2018,
}
"""How to write each data set, by the name of its importer."""
