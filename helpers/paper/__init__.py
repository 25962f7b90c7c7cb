"""Papers' tables as programs: cells made of content-addressed steps, each a command of ours in a process of its own.

steps.py says what a step is and what its name is made of, engine.py makes those that are missing, cells.py reads scores out of finished ones,
layout.py says what a table is, recipes.py and tables/ hold the tables themselves, quotes.py the papers' numbers, show.py and plan.py print.
"""
