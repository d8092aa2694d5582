"""What stages take, before any is run: texts to read, bytes to hold, work to do."""
