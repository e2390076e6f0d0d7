"""How the dock looks: colours that follow napari's theme, one style sheet, line icons."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from qtpy.QtCore import QByteArray, QRectF, Qt
from qtpy.QtGui import QColor, QIcon, QPainter, QPixmap
from qtpy.QtSvg import QSvgRenderer

if TYPE_CHECKING:
    from qtpy.QtWidgets import QWidget

DOCK_NAME = "nunext"
"""What the style sheet calls the dock, and the sheets over the image."""
SPACE_PX = 8
"""The one distance from which margins and gaps are made."""


@dataclass(frozen=True, slots=True)
class Palette:
    """Colours of the dock, as Qt style sheets write them."""

    name: str
    text: str
    muted: str
    card: str
    line: str
    control: str
    hover: str
    accent: str
    accent_hover: str
    on_accent: str
    tint: str
    good: str
    warn: str
    bad: str


DARK = Palette(
    name="dark",
    text="#f0f1f2",
    muted="#a3aab3",
    card="#2e323a",
    line="#414851",
    control="#414851",
    hover="#4c545f",
    accent="#0b7f76",
    accent_hover="#0f948a",
    on_accent="#ffffff",
    tint="#1f4a4b",
    good="#35c08a",
    warn="#f0b13c",
    bad="#ff7a66",
)
LIGHT = Palette(
    name="light",
    text="#2f2e2d",
    muted="#6b6663",
    card="#f8f6f5",
    line="#d6d0ce",
    control="#e2dcda",
    hover="#d6d0ce",
    accent="#0b7f76",
    accent_hover="#096b63",
    on_accent="#ffffff",
    tint="#cfe8e5",
    good="#0e7f56",
    warn="#9a6200",
    bad="#c0341d",
)


def palette_for(theme_name: str) -> Palette:
    """The palette that goes with a napari theme; for other themes, with its kind."""
    from napari.utils.theme import get_theme

    return LIGHT if get_theme(theme_name).type == "light" else DARK


def style_sheet(p: Palette) -> str:
    """The style sheet of the dock, for everything below the widget named ``nunext``."""
    return f"""
#nunext QWidget {{ background: transparent; color: {p.text}; font-size: 12px; padding: 0; }}
#nunext QLabel[role="title"] {{ font-size: 14px; font-weight: 600; }}
#nunext QLabel[role="section"] {{ color: {p.muted}; font-size: 11px; font-weight: 600; }}
#nunext QLabel[role="muted"] {{ color: {p.muted}; font-size: 11px; }}
#nunext QLabel[role="caution"] {{ color: {p.warn}; font-size: 11px; }}
#nunext QLabel[role="strong"] {{ font-weight: 600; }}
#nunext QLabel[role="worse"] {{ color: {p.warn}; font-weight: 600; }}
#nunext QLabel[role="big"] {{ font-size: 20px; font-weight: 600; }}
#nunext QLabel[role="badge"] {{ color: {p.muted}; border: 1px solid {p.line}; border-radius: 3px;
    font-size: 10px; }}
#nunext QFrame[role="card"] {{ background: {p.card}; border: 1px solid {p.line};
    border-radius: 6px; }}
#nunext QFrame[role="card"][current="true"] {{ border-color: {p.accent_hover}; }}
#nunext QFrame[role="row"] {{ border-radius: 4px; }}
#nunext QFrame[role="row"]:hover {{ background: {p.control}; }}
#nunext QFrame[role="row"][current="true"] {{ background: {p.tint}; }}
#nunext QFrame[role="name"] {{ border: 1px solid transparent; border-radius: 4px; }}
#nunext QFrame[role="name"]:hover {{ background: {p.control}; }}
#nunext QFrame[role="name"]:focus {{ border-color: {p.accent_hover}; }}
#nunext QTreeWidget, #nunext QListWidget {{ border: 0; }}
#nunext QListWidget:focus {{ border: 1px solid {p.accent_hover}; border-radius: 4px; }}
#nunext QTreeWidget::item, #nunext QListWidget::item {{ padding: 3px 4px; }}
#nunext QTreeWidget::item:hover, #nunext QListWidget::item:hover {{ background: {p.control}; }}
#nunext QTreeWidget::item:selected, #nunext QListWidget::item:selected {{ background: {p.tint};
    color: {p.text}; }}
#nunext QMenu {{ background: {p.card}; border: 1px solid {p.line}; padding: 4px 0; }}
#nunext QMenu::item {{ background: transparent; color: {p.text}; padding: 5px 20px 5px 14px; }}
#nunext QMenu::item:selected {{ background: {p.tint}; }}
#nunext QMenu::item:disabled {{ color: {p.muted}; }}
#nunext QMenu::separator {{ background: {p.line}; height: 1px; margin: 4px 8px; }}
#nunext QToolTip {{ background: {p.card}; color: {p.text}; border: 1px solid {p.line}; }}
#nunext QFrame[role="notice"] {{ background: {p.card}; border: 1px solid {p.line};
    border-radius: 6px; }}
#nunext QFrame[role="notice"][level="warning"] {{ border-color: {p.warn}; }}
#nunext QFrame[role="notice"][level="error"] {{ border-color: {p.bad}; }}
#nunext QPushButton, #nunext QToolButton {{ background: {p.control}; border: 1px solid {p.line};
    border-radius: 5px; padding: 0 10px; min-height: 26px; font-size: 12px; }}
#nunext QPushButton:hover, #nunext QToolButton:hover {{ background: {p.hover}; }}
#nunext QPushButton:focus, #nunext QToolButton:focus {{ border-color: {p.accent_hover}; }}
#nunext QPushButton:checked {{ background: {p.tint}; border-color: {p.accent_hover};
    font-weight: 600; }}
#nunext QPushButton:disabled, #nunext QToolButton:disabled {{ color: {p.muted};
    background: transparent; border-color: {p.line}; }}
#nunext QPushButton[role="primary"] {{ background: {p.accent}; border-color: {p.accent};
    color: {p.on_accent}; font-size: 13px; font-weight: 600; min-height: 34px; }}
#nunext QPushButton[role="primary"]:hover {{ background: {p.accent_hover}; }}
#nunext QPushButton[role="primary"]:disabled {{ background: {p.control}; color: {p.muted};
    border-color: {p.line}; }}
#nunext QPushButton[role="link"], #nunext QToolButton[role="plain"] {{ background: transparent;
    border: 1px solid transparent; padding: 0 4px; min-height: 22px; }}
#nunext QPushButton[role="link"] {{ color: {p.muted}; text-align: left; }}
#nunext QPushButton[role="link"]:hover, #nunext QToolButton[role="plain"]:hover {{
    background: {p.control}; color: {p.text}; }}
#nunext QToolButton[role="plain"]:checked {{ background: transparent; }}
#nunext QToolButton::menu-indicator {{ image: none; width: 0; }}
#nunext QPushButton[role="chip"] {{ background: transparent; min-height: 18px; padding: 0 6px;
    border: 1px solid {p.line}; border-radius: 9px; font-size: 11px; color: {p.muted}; }}
#nunext QPushButton[role="chip"]:hover {{ background: {p.control}; }}
#nunext QPushButton[role="chip"][level="warning"] {{ color: {p.warn}; border-color: {p.warn}; }}
#nunext QPushButton[role="chip"]:focus {{ border-color: {p.accent_hover}; color: {p.text}; }}
#nunext QPushButton[role="chip"]:checked {{ background: {p.tint}; color: {p.text};
    border-color: {p.accent_hover}; font-weight: normal; }}
#nunext QToolButton[role="star"] {{ background: transparent; border: 1px solid transparent;
    padding: 1px 3px; min-height: 30px; min-width: 24px; font-size: 10px; color: {p.muted}; }}
#nunext QToolButton[role="star"]:hover {{ background: {p.control}; }}
#nunext QToolButton[role="star"]:focus {{ border-color: {p.accent_hover}; }}
#nunext QPushButton[role="segment"] {{ border-radius: 0; border-right-width: 0;
    padding: 0 3px; }}
#nunext QPushButton[role="segment"][place="first"] {{ border-top-left-radius: 5px;
    border-bottom-left-radius: 5px; }}
#nunext QPushButton[role="segment"][place="last"] {{ border-right-width: 1px;
    border-top-right-radius: 5px; border-bottom-right-radius: 5px; }}
#nunext QPushButton[role="segment"]:checked {{ border-color: {p.line}; }}
#nunext QPushButton[role="tab"] {{ background: transparent; border: 0; border-radius: 0;
    border-bottom: 2px solid transparent; color: {p.muted}; font-size: 13px; }}
#nunext QPushButton[role="tab"]:hover {{ color: {p.text}; }}
#nunext QPushButton[role="tab"]:checked {{ color: {p.text}; font-weight: 600;
    border-bottom: 2px solid {p.accent_hover}; }}
#nunext QComboBox {{ background: {p.control}; border: 1px solid {p.line}; border-radius: 5px;
    padding: 0 8px; min-height: 26px; }}
#nunext QComboBox QAbstractItemView {{ background: {p.card}; border: 1px solid {p.line}; }}
#nunext QLineEdit, #nunext QDoubleSpinBox {{ background: {p.control}; border-radius: 5px;
    border: 1px solid {p.line}; padding: 0 6px; min-height: 26px; }}
#nunext QPlainTextEdit {{ background: transparent; border: 0; }}
#nunext QPlainTextEdit[readOnly="false"] {{ background: {p.control}; border-radius: 5px;
    border: 1px solid {p.line}; padding: 2px 3px; }}
#nunext QPlainTextEdit[role="answer"] {{ font-size: 14px; font-weight: 600; }}
#nunext QPlainTextEdit[role="long answer"] {{ font-size: 13px; }}
#nunext QPlainTextEdit[role="muted"] {{ color: {p.muted}; font-size: 11px; }}
#nunext QPlainTextEdit[readOnly="false"]:focus,
#nunext QLineEdit:focus, #nunext QDoubleSpinBox:focus {{ border-color: {p.accent_hover}; }}
#nunext QComboBox:focus {{ border-color: {p.accent_hover}; }}
#nunext QCheckBox {{ spacing: 6px; font-size: 12px; }}
#nunext QCheckBox::indicator {{ background: {p.control}; border: 1px solid {p.line};
    width: 14px; height: 14px; border-radius: 3px; }}
#nunext QCheckBox::indicator:checked {{ background: {p.accent}; border-color: {p.accent}; }}
#nunext QCheckBox::indicator:focus {{ border-color: {p.text}; }}
#nunext QSlider::groove:horizontal {{ background: {p.control}; height: 4px; border-radius: 2px; }}
#nunext QSlider::sub-page:horizontal {{ background: {p.accent_hover}; border-radius: 2px; }}
#nunext QSlider::handle:horizontal {{ background: {p.text}; width: 12px; height: 12px;
    margin: -4px 0; border-radius: 6px; }}
#nunext QScrollArea {{ border: 0; }}
#nunext QHeaderView {{ background: transparent; border: 0; }}
#nunext QHeaderView::section {{ background: transparent; border: 0; padding: 2px 4px;
    border-bottom: 1px solid {p.line}; color: {p.muted}; font-size: 11px; }}
#nunext QScrollBar:vertical {{ background: transparent; margin: 0; max-width: 8px; }}
#nunext QScrollBar::handle:vertical {{ background: {p.line}; border-radius: 4px; }}
#nunext QScrollBar::add-line, #nunext QScrollBar::sub-line {{ height: 0; width: 0; }}
"""


_PATHS = {
    "previous": "M15 5 L8 12 L15 19",
    "next": "M9 5 L16 12 L9 19",
    "eye": "M2 12 C6 5 18 5 22 12 C18 19 6 19 2 12 Z M12 9 a3 3 0 1 0 0.01 0 Z",
    "eye-off": "M2 12 C6 5 18 5 22 12 C18 19 6 19 2 12 Z M4 20 L20 4",
    "undo": "M9 5 L4 10 L9 15 M4 10 H14 a6 5 0 0 1 0 10 H9",
    "redo": "M15 5 L20 10 L15 15 M20 10 H10 a6 5 0 0 0 0 10 H15",
    "more": "M5 12 h0.01 M12 12 h0.01 M19 12 h0.01",
    "help": "M9 9 a3.2 3.2 0 1 1 4.6 2.9 C12.4 12.6 12 13.4 12 14.6 M12 18 h0.01",
    "close": "M6 6 L18 18 M18 6 L6 18",
    "check": "M5 12.5 L10 17.5 L19 7",
    "dash": "M6 12 H18",
    "plus": "M12 5 V19 M5 12 H19",
    "star": "M12 3.2 L14.7 8.9 L21 9.7 L16.4 14 L17.6 20.2 L12 17.2 L6.4 20.2 L7.6 14 "
    "L3 9.7 L9.3 8.9 Z",
    "open": "M3 18 V6 h6 l2 3 h10 v9 Z",
}


def icon(
    name: str,
    color: str,
    *,
    widget: QWidget | None = None,
    size_px: int = 16,
    filled: bool = False,
) -> QIcon:
    """A line icon in a colour, sharp at the screen's scale."""
    ratio = widget.devicePixelRatioF() if widget is not None else 2.0
    stroke, fill = 3.2 if name == "more" else 2, color if filled else "none"
    svg = (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24">'
        f'<path d="{_PATHS[name]}" fill="{fill}" stroke="{color}" stroke-width="{stroke}" '
        'stroke-linecap="round" stroke-linejoin="round"/></svg>'
    )
    pixmap = QPixmap(round(size_px * ratio), round(size_px * ratio))
    pixmap.fill(Qt.GlobalColor.transparent)
    painter = QPainter(pixmap)
    QSvgRenderer(QByteArray(svg.encode())).render(painter)
    painter.end()
    pixmap.setDevicePixelRatio(ratio)
    return QIcon(pixmap)


def dot_pixmap(
    color: str | tuple[int, int, int], *, size_px: int = 12, hollow: bool = False
) -> QPixmap:
    """A round dot with a thin dark rim, as the nuclei are drawn on the canvas."""
    ratio = 2.0
    pixmap = QPixmap(round(size_px * ratio), round(size_px * ratio))
    pixmap.setDevicePixelRatio(ratio)
    pixmap.fill(Qt.GlobalColor.transparent)
    painter = QPainter(pixmap)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    fill = QColor(color) if isinstance(color, str) else QColor(*color)
    inner = QRectF(1, 1, size_px - 2, size_px - 2)
    painter.setPen(QColor(20, 20, 24, 200))
    painter.setBrush(fill)
    painter.drawEllipse(inner)
    if hollow:
        painter.setCompositionMode(QPainter.CompositionMode.CompositionMode_Clear)
        painter.drawEllipse(inner.adjusted(3, 3, -3, -3))
    painter.end()
    return pixmap


def dot_icon(color: str | tuple[int, int, int]) -> QIcon:
    """A small dot that keeps its colour in a selected row."""
    made, pixmap = QIcon(), dot_pixmap(color, size_px=10)
    for mode in (QIcon.Mode.Normal, QIcon.Mode.Selected):
        made.addPixmap(pixmap, mode)
    return made


def form_sheet(theme_name: str) -> str:
    """What napari leaves out in a form that looks like it.

    Which field has the keyboard; and for text of several lines the ground of other fields, where
    napari has that of its console.
    """
    from napari.utils.theme import get_theme

    p, ground = palette_for(theme_name), get_theme(theme_name).primary.as_hex(format="long")
    texts = ("QLineEdit", "QTextEdit", "QPlainTextEdit")
    kinds = (*texts, "QComboBox", "QPushButton", "QCheckBox::indicator")
    rest = ", ".join(kinds)
    focused = ", ".join(f"{kind}:focus" for kind in kinds)
    return f"""
{rest} {{ border: 1px solid transparent; }}
{focused} {{ border-color: {p.text}; }}
QTextEdit, QPlainTextEdit {{ background-color: {ground}; background-clip: border;
    border-radius: 2px; }}
"""
