"""The problems that ship: no isosceles triangle, no three in line."""
