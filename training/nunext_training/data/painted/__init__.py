"""Stains that are painted over tissue as it is: IHC and PAS over H&E, H&E's colours over any."""
