"""Encoders of the operator's own: a model at an address of the own network or in a folder, and its calibration."""
