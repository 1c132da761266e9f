"""What runs beside a flow: its record in Prefect, deployments and schedules."""
