"""`GET /openapi.json`: all addresses of the server, made from the signature of the model that is live."""
