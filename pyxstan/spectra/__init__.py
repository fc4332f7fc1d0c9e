"""Folded spectra of several sources with linked parameters: the model ``linked_spectra``."""
