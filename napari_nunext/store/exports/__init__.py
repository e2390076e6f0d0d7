"""What leaves a project: GeoJSON, COCO and CSV for other tools, training data for our own."""
