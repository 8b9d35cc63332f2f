"""The same graph run three ways, and what every step left held side by side."""
