"""``python -m pyxstan``."""

from pyxstan.command_line import main

main()
