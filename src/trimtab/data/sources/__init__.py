"""Where rows come from: files and the user's functions, behind one port."""
