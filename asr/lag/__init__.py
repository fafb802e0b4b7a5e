"""How far back can an encoder remember? The tasks of the LSTM's first paper, at growing lags."""
