"""Where rows are images or sounds: what is true of them, what training is given, and how its answers are judged."""
