"""What the metadata endpoint costs: answers, and the statistics behind them."""
