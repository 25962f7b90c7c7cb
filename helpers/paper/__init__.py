"""Papers' tables as programs: cells made of content-addressed steps, each a command of ours in a process of its own.

steps.py says what a step is and what its name is made of, engine.py and scheduler.py make those that are missing, cells.py reads scores out of
finished ones, table.py says what a table is, scale.py how large its networks are, recipes.py, families/ and tables/ hold the tables themselves,
citations.py the papers' numbers; render.py, plan.py and progress.py print.
"""
