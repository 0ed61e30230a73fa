"""What a catalog and a stack say of each listing, for those who defend them (`testbed audit`)."""

from testbed.audit.audit import Audit, Limits, ListingAudit, audit
from testbed.audit.findings import Finding
from testbed.audit.masking import FieldEffect
from testbed.audit.sarif import sarif

__all__ = ["Audit", "FieldEffect", "Finding", "Limits", "ListingAudit", "audit", "sarif"]
