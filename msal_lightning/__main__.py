"""``python -m msal_lightning``."""

import sys

from msal_lightning.cli import main

if __name__ == "__main__":
    sys.exit(main())
