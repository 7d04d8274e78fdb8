"""What is collected: targets as one parameter, and functions of our own making."""
