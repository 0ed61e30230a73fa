"""Sections of the report, one file each: tables in, a `Section` out."""
