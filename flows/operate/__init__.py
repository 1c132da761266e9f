"""What runs beside a flow: servers and, later, schedules."""
