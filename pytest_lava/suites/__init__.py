"""What can be collected beside Python tests, as data: suites, test definitions, and what runs them on a board."""
