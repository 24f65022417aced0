"""KerasHub, an optional library of pretrained networks, and where its presets come from."""

from __future__ import annotations

import os
import pathlib
import re
import socket
import textwrap
import types
import zipfile

from common import errors


def keras_hub(wanted_by: str) -> types.ModuleType:
    """Import and return the package `keras_hub`.

    Args:
        wanted_by: what needs it, for the message, such as `recipes for texts need`.

    Raises:
        UserError: the package is not installed.
    """
    try:
        import keras_hub as package
    except ImportError as error:
        raise errors.UserError(install(wanted_by)) from error
    return package


def import_for(file: pathlib.Path, wanted_by: str) -> None:
    """Import KerasHub if a .keras file has layers of it: Keras loads only what is known.

    Raises:
        UserError: the file needs the package, which is not installed.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            config = archive.read("config.json")
    except (OSError, KeyError, zipfile.BadZipFile):  # the caller finds out what is wrong with the file
        return
    if b'"keras_hub' in config:
        keras_hub(wanted_by)


def reason(error: Exception) -> str:
    """Return why a preset cannot be loaded, in a few words."""
    host = re.search(r"HTTPSConnectionPool\(host='([^']+)'", str(error))
    if host:
        return f"{host[1]} cannot be reached"
    return textwrap.shorten(str(error) or type(error).__name__, 160, placeholder=" …")


def install(wanted_by: str) -> str:
    """Return what to do where KerasHub is missing."""
    return f"{wanted_by} extra packages: pip install 'keras-recipes[text]'"


def check_reachable(flag: str, source: str) -> None:
    """Fail at once if Hugging Face cannot be reached; its library would try for 20 seconds.

    Raises:
        UserError: there is no network; the message names the flag.
    """
    if not source.startswith("hf://") or os.environ.get("HF_HUB_OFFLINE"):
        return
    try:
        socket.getaddrinfo("huggingface.co", 443)
    except OSError as error:
        raise errors.UserError(
            f"{flag}: huggingface.co cannot be reached; check the network, set HF_HUB_OFFLINE=1 if the preset was "
            "downloaded before, or give the folder of a preset"
        ) from error
