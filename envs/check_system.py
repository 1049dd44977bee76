"""What pip cannot check: the Python version, a C compiler and Python's headers.

Runs on any Python 3 before the virtual environment is made, so that a machine that cannot build
the environment is told why in one sentence.
"""

import os
import shutil
import sys
import sysconfig

PROBLEMS = []
if sys.version_info < (3, 11):
    PROBLEMS.append(
        "Python >= 3.11 is needed, this is %d.%d. Name another one: make PYTHON=python3.11 ..."
        % sys.version_info[:2]
    )
if not any(shutil.which(name) for name in ("cc", "gcc", "clang")):
    PROBLEMS.append(
        "A C compiler is needed (netifaces, behind hpbandster, is compiled when it is installed)."
        " On Debian or Ubuntu: apt install gcc"
    )
if not os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")):
    PROBLEMS.append(
        "Python's headers are needed (Python.h). On Debian or Ubuntu: apt install python3-dev"
    )
for problem in PROBLEMS:
    print("curvecast: " + problem, file=sys.stderr)
sys.exit(1 if PROBLEMS else 0)
