"""Figures of answers that are no scores: identities, texts, boxes and masks, each against what is true."""
