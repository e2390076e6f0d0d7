"""The card of regions.

`regions_card` draws, names and finds them, `regions_table` has their figures. It may import what
`ui.panels` may. What else is done with regions gets a module here.
"""
