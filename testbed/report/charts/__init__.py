"""Charts of the report, one file each; every chart is an inline SVG whose colours are CSS variables."""
