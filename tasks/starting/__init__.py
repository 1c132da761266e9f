"""How processes start soon: imports that nothing disturbs, and forks that have them done."""
