"""Engagements: contacts, visits, meetings, trainings and roadshows, and each staff member's calendar of them."""
