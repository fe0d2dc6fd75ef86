"""The parts of model.py, which tells what they are for."""
