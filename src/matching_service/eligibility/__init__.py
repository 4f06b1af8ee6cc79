"""Eligibility of profiles for demands, and their track record in the programme."""
