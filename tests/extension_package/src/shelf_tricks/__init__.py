"""An extension of the testbed, as somebody else would write one."""
