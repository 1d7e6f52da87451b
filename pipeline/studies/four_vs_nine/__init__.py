"""4 against 9: each regularized network against the baseline that overfits."""
