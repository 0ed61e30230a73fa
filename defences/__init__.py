"""Defences: stages that drop, demote or rewrite listings, and stages that stand around another one."""
