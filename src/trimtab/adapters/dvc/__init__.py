"""Files that DVC keeps, through its command line: it asks for more packages than Trimtab wants beside itself."""
