"""The side of whoever runs plugins: networks from files, their plugins in order, results kept."""
