"""Files of nuclei and records as values: GeoJSON, COCO, CSV, other tools' JSON, our exports.

Text comes in, values go out, or an error that names the place. Which reader
takes which file stands in `images.nuclei_files`; writing stands in `store.exports`. Another tool's
file goes here as a reader, and into that register.
"""
