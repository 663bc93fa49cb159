"""Avendaño's study: the same network behind max pools of different sizes."""
