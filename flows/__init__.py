"""The application: the order of the steps, the command line, and what runs beside them."""
