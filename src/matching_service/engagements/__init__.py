"""Engagements (contacts, visits, meetings, trainings and roadshows) and the calendar of each staff member."""
