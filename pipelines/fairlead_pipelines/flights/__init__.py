"""Flights: will this flight arrive 15 minutes late or more?"""
