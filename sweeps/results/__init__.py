"""Finished studies: reports made again, numbers compared with expected ones."""
