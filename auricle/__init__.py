"""Auricle: the audio systems of fourteen papers, end to end, behind one command and one API."""
