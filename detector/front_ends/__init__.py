"""Front ends: what turns waves into features, frozen."""
