"""Casts rays for the synthetic drive with Open3D (Embree inside). Never imports its GUI."""
