"""Files of clips for the tests of this room."""

import pytest
import tiny_clips


@pytest.fixture
def write(tmp_path):
    """A function that writes a file and returns its path."""

    def write_file(content, name="clip.mp4"):
        path = tmp_path / name
        path.write_bytes(content)
        return str(path)

    return write_file


@pytest.fixture(scope="session")
def clip_of_kind(tmp_path_factory):
    """One clip of 40 numbered frames for each of `tiny_clips.KINDS`."""
    folder = tmp_path_factory.mktemp("clips")
    return {name: tiny_clips.encode(folder / name, **dict(kind)) for name, kind in tiny_clips.KINDS.items()}
