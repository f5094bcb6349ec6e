"""Whether what comes now is as what came before: distances, change detection, and other units."""
