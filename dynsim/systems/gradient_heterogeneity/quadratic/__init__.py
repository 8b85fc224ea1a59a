"""Quadratics and logistic regression in blocks: everything in the theorems is known here, so they can be checked step by step."""
