"""Demands: technical problems of enterprises, and their life cycle."""
