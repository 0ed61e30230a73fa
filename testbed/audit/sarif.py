"""Findings as SARIF 2.1.0 (OASIS), which code hosts and editors read."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from testbed.audit.audit import Audit
from testbed.audit.findings import MASKED, Finding, finite
from testbed.errors import visible

VERSION = "2.1.0"
SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"


def sarif(audit: Audit, version: str = "0") -> dict[str, Any]:
    """The log as plain JSON values: one run, a rule per detector and one for masked fields, a result per finding.

    A result points to the line of the item where its catalog is a file, and always to `item/field` as a logical
    location. Warnings are notifications of the tool. `version`: of this distribution.
    """
    rules = _rules(audit)
    places = {rule["id"]: place for place, rule in enumerate(rules)}
    return {
        "$schema": SCHEMA,
        "version": VERSION,
        "runs": [
            {
                "tool": {
                    "driver": {
                        "name": "testbed audit",
                        "version": version,
                        "informationUri": "https://github.com/ranking-testbed/ranking-testbed",
                        "rules": rules,
                    }
                },
                "columnKind": "unicodeCodePoints",
                "invocations": [{"executionSuccessful": True, "toolExecutionNotifications": _told(audit)}],
                "results": [_result(audit, finding, places[finding.rule]) for finding in audit.findings],
                "properties": {
                    "catalog": audit.catalog.fingerprint,
                    "stack": list(audit.stages),
                    "requests": audit.requests,
                    "orders": audit.limits.orders,
                },
            }
        ],
    }


def _told(audit: Audit) -> list[dict[str, Any]]:
    """Warnings that belong to no finding."""
    return [{"level": "warning", "message": {"text": visible(one.message)}} for one in audit.hidden]


def _rules(audit: Audit) -> list[dict[str, Any]]:
    found = [
        {
            "id": f"detector/{name}",
            "name": f"Flagged by {name}",
            "shortDescription": {"text": f"The detector {name} holds the listing to be manipulated."},
            "defaultConfiguration": {"level": "error"},
        }
        for name in audit.detectors
    ]
    return [
        *found,
        {
            "id": MASKED,
            "name": "One field carries the rank",
            "shortDescription": {
                "text": f"Without one field the listing loses {audit.limits.jump} places or more in at least "
                f"{audit.limits.share:.0%} of the rankings."
            },
            "defaultConfiguration": {"level": "warning"},
        },
    ]


def _result(audit: Audit, finding: Finding, rule: int) -> dict[str, Any]:
    whole = f"{finding.item}/{finding.field}" if finding.field else finding.item
    logical = {
        "name": visible(finding.field or finding.item),
        "fullyQualifiedName": visible(whole),
        "kind": "member" if finding.field else "object",
    }
    location: dict[str, Any] = {"logicalLocations": [logical]}
    if audit.catalog.file and finding.item in audit.catalog.lines:
        location["physicalLocation"] = {
            "artifactLocation": {"uri": _uri(audit.catalog.file)},
            "region": {"startLine": audit.catalog.lines[finding.item]},
        }
    print_of = hashlib.blake2b(f"{finding.rule}\0{whole}".encode(), digest_size=16).hexdigest()
    return {
        "ruleId": finding.rule,
        "ruleIndex": rule,
        "level": finding.level,
        "message": {"text": visible(f"{finding.item}: {finding.message}")},
        "locations": [location],
        "partialFingerprints": {"listing/v1": print_of},
        "properties": {"value": finite(finding.value), "threshold": finite(finding.threshold)},
    }


def _uri(file: str) -> str:
    """Relative to the working folder where it lies below, else absolute."""
    from urllib.parse import quote

    path = Path(file)
    if path.is_absolute():
        try:
            path = path.relative_to(Path.cwd())
        except ValueError:
            return path.as_uri()
    return quote(path.as_posix())
