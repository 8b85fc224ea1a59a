"""One attention layer with squared loss: data, model, the linear theory of the values, bounds."""
