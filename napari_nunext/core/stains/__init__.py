"""What stains say of a section: optical densities, unmixed, of nuclei and of regions.

Inside: `optical_density` has the colours of the stains and takes pixels apart, `measuring` gives
each nucleus its density, `positivity` what share of the nuclei is positive and how strongly,
`counting` which of them count. It may import images, shapes and what is below these; another stain
is a row in `optical_density`.
"""
