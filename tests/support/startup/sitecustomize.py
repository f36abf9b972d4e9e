"""Arms the processes that the tests kill; Python imports this first if it is on its path."""

import os

from tests.support import kill

kill.install(os.environ[kill.VARIABLE])
