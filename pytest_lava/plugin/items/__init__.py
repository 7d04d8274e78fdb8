"""Kinds of items beside Python tests, each with how it is made and how it runs."""
