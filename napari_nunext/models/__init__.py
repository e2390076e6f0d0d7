"""Detectors and segmenters. torch is imported only when a model that needs it is loaded."""
