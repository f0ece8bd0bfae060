"""``python -m optsde``: the command line."""

import sys

from optsde.cli import main

sys.exit(main())
