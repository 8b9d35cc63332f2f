"""The console: server-rendered pages that show the data, the model, its reasons and the loop."""
