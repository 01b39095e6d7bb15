"""The manifest that docs/gpu-jobs.md shows, read out of the page: what its readers copy is what is tested.

Used by ../test_golden.py, which renders it, and by tests/cluster/test_gpu_jobs.py, which runs it.
"""

import re
from pathlib import Path
from typing import Any

import yaml

GOLDEN = Path(__file__).parent
PAGE = GOLDEN.parents[3] / "docs" / "gpu-jobs.md"


def spec() -> dict[str, Any]:
    """The spec that the page's one YAML block gives; the fields that every campaign has are not in it."""
    [block] = re.findall(r"^```yaml\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    shown: dict[str, dict[str, Any]] = yaml.safe_load(block)
    return shown["spec"]
