"""Reports for people: one HTML file with tables, plots and players, and a table for the terminal.

matplotlib and soundfile are imported only when a page is made.
"""
