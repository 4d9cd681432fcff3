"""See `checker.py`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import checker  # noqa: E402

if __name__ == "__main__":
    sys.exit(checker.main([Path(name) for name in sys.argv[1:]]))
