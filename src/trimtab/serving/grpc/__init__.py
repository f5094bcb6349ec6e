"""The Open Inference Protocol over gRPC; nothing of it is imported unless `[serve] grpc_port` asks for it."""
