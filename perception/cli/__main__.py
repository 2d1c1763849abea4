"""python -m perception.cli."""

from perception.cli import main

main()
