"""What can be collected beside Python tests, as data: LAVA's test definitions and what runs them on a board."""
