"""The images that components name; the tag is the version, so that no new image answers an old cache key."""

from fairlead import __version__

BASE = f"fairlead-base:{__version__}"
TRAINING = f"fairlead-training:{__version__}"
SERVING = f"fairlead-serving:{__version__}"
