"""What systems, tools and people leave in the folders of a data set."""

HIDDEN_FOLDERS = (".ipynb_checkpoints", ".thumbnails", "@eaDir", "__MACOSX", ".Trash-1000", "$RECYCLE.BIN",
                  "System Volume Information", "lost+found", ".git")  # fmt: skip
HIDDEN_FILES = (".DS_Store", "Thumbs.db", "desktop.ini")


def scatter(folder, item):
    """Puts litter into a class folder: copies of an item and other files in hidden folders, and links in a circle.

    Returns the numbers of hidden folders, hidden files and links.
    """
    for name in HIDDEN_FOLDERS:
        (folder / name / "deeper").mkdir(parents=True)
        (folder / name / item.name).write_bytes(item.read_bytes())
        (folder / name / "deeper" / item.name).write_bytes(item.read_bytes())
    for name in (*HIDDEN_FILES, f"._{item.name}"):
        (folder / name).write_bytes(b"\0")
    (folder / "again").symlink_to(".")
    (folder / "once_more").symlink_to(".")
    (folder / "up").symlink_to("..")
    return len(HIDDEN_FOLDERS), len(HIDDEN_FILES) + 1, 3
