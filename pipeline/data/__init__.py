"""Where images come from (published IDX files, embedded demonstration data), and how they are split and scaled."""
