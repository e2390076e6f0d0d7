"""What an image is to all parts of the program (`source`), and whether its scale can be right."""
