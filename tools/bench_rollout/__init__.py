"""How often a canary or a shadow ends rightly, by simulation."""
