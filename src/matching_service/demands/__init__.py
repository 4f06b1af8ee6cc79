"""Demands: the technical problems of enterprises, and where each stands in its life."""
