"""What a user sees of errors that no command expects: one sentence, and where the rest is."""

import errno
import os
import tempfile
import traceback

_OF_THE_DISK = {
    errno.ENOSPC: "make room, and the same command goes on",
    errno.EDQUOT: "make room within your quota, and the same command goes on",
    errno.EROFS: "choose a folder that can be written",
    errno.EACCES: "give it to yourself, or choose another one",
    errno.EPERM: "give it to yourself, or choose another one",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.EMFILE: "raise `ulimit -n`, or lower data.num_workers",
    errno.ENFILE: "raise `ulimit -n`, or lower data.num_workers",
    errno.EIO: "the disk reports an error: check it",
}


def disk_sentence(error: OSError) -> str | None:
    """Put an error of the machine, a full disk or a file of somebody else, as a sentence.

    Returns:
        The sentence; None where the error may as well be a bug.
    """
    remedy = _OF_THE_DISK.get(error.errno or 0)
    if remedy is None:
        return None
    where = f" '{error.filename}'" if error.filename else ""
    return f"cannot read or write{where or ' a file'} ({error.strerror}): {remedy}"


def crash_sentence(error: BaseException) -> str:
    """Write the traceback of a bug into a file of the temporary folder, and say where.

    Returns:
        The sentence, with the traceback itself where no file can be written.
    """
    what = f"internal error {type(error).__name__}: {' '.join(str(error).split()) or 'without a message':.300}"
    text = "".join(traceback.format_exception(error))
    try:
        number, name = tempfile.mkstemp(prefix="msal_lightning-error-", suffix=".txt")
        with os.fdopen(number, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(text)
    except OSError:
        return f"{what}; the traceback follows: please report it\n{text}"
    return f"{what}; the traceback is in '{name}': please report it"
