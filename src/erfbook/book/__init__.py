"""Execute the notebooks, judge the claims, build the pages."""
