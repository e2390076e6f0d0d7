"""Tables of what lies in each region of an image: counts and densities, figures of a stain."""
