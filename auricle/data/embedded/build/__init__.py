"""How the embedded corpus is cut from Debian packages: readers, selection, licences."""
