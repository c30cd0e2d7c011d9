"""What the package is measured against: the same networks and front ends as others write them."""
