"""``python -m msal_lightning``."""

from msal_lightning.cli.main import console

if __name__ == "__main__":
    console()
