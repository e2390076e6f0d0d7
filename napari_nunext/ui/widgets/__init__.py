"""Controls that several panels share, the theme, and the one way to ask for a file."""
