"""The words of the project: nuclei, geometry, tiling, codec, matching, metrics, records, errors.

Everything here is numpy, scipy and the standard library: the app, the server, the training
package and the exports share these definitions, so that none of them can disagree.
"""
