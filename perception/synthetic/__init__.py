"""A synthetic drive: streets, road users, one camera and a LiDAR, and the truth about them.

The world is plain: flat faces, one sun. What is right is occlusion, beams, parallax and truth, all
from the same casts of rays. Rays are cast by an integration (see `Caster` in rays.py).
"""
