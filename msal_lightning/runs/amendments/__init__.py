"""Changes that a person makes to a run, each in a file of its own: ``amendments/001.json``."""

from msal_lightning.runs.amendments.add import Add
from msal_lightning.runs.amendments.add_rows import AddRows
from msal_lightning.runs.amendments.amendments import Amendments, read_amendments
from msal_lightning.runs.amendments.base import Change
from msal_lightning.runs.amendments.correct import Correct
from msal_lightning.runs.amendments.extend import Extend
from msal_lightning.runs.amendments.files import FILES, Amendment, write_amendment
from msal_lightning.runs.amendments.finish import Finish
from msal_lightning.runs.amendments.reclass import Reclass
from msal_lightning.runs.amendments.remove import Remove
from msal_lightning.runs.amendments.remove_rows import RemoveRows

__all__ = [
    "FILES",
    "Add",
    "AddRows",
    "Amendment",
    "Amendments",
    "Change",
    "Correct",
    "Extend",
    "Finish",
    "Reclass",
    "Remove",
    "RemoveRows",
    "read_amendments",
    "write_amendment",
]
