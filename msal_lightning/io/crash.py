"""One sentence for unexpected errors, and a file for their traceback."""

import errno
import os
import tempfile
import traceback

_OF_THE_DISK = {
    errno.ENOSPC: "free disk space, and the same command resumes",
    errno.EDQUOT: "free disk space within your quota, and the same command resumes",
    errno.EROFS: "choose a writable folder",
    errno.EACCES: "give it to yourself, or choose another one",
    errno.EPERM: "give it to yourself, or choose another one",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.EMFILE: "raise `ulimit -n`, or lower data.num_workers",
    errno.ENFILE: "raise `ulimit -n`, or lower data.num_workers",
    errno.EIO: "the disk reports an error: check it",
}


def disk_sentence(error: OSError) -> str | None:
    """Describe an error of the machine, such as a full disk or a missing permission, in a sentence.

    Returns:
        The sentence; None if the error may be a bug.
    """
    remedy = _OF_THE_DISK.get(error.errno or 0)
    if remedy is None:
        return None
    where = f" '{error.filename}'" if error.filename else ""
    return f"cannot read or write{where or ' a file'} ({error.strerror}): {remedy}"


def crash_sentence(error: BaseException) -> str:
    """Write the traceback of a bug into a file in the temporary folder, and describe the bug in a sentence.

    Returns:
        The sentence with the file's name; with the traceback itself if no file can be written.
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
