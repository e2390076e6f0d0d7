"""Matching predicted with true nuclei, and every figure that follows from it.

Pure functions on arrays; nothing here reads a file. Training, evaluation, rewards and the app's
comparison all ask these. Another score goes here beside a parity test against an independent one.
"""
