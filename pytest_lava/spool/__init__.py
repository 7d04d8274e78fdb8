"""What is to be submitted, kept on the disk until every sink has it."""
