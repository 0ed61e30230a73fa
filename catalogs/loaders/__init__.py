"""Loaders: files of public formats in, one checked `Catalog` out."""

from __future__ import annotations

from catalogs.loaders.beir import Beir
from catalogs.loaders.csv_table import Csv
from catalogs.loaders.field_lines import FieldLines
from catalogs.loaders.jsonl import Jsonl
from catalogs.loaders.safegeo import SafeGeo

__all__ = ["Beir", "Csv", "FieldLines", "Jsonl", "SafeGeo"]
