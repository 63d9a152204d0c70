"""python -m camviz"""

import sys

from camviz.cli import main

sys.exit(main())
