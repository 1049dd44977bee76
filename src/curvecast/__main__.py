"""`python -m curvecast` is the command `curvecast`."""

import sys

from curvecast.cli import main

sys.exit(main())
