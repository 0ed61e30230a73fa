"""Rewriters: what a reader is shown of a listing, or told about it, is another text than the vendor's."""
