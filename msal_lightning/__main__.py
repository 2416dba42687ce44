"""``python -m msal_lightning``."""

from msal_lightning.cli import console

if __name__ == "__main__":
    console()
