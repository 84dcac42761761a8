"""Starts etcd members, drives them through etcdctl, gRPC and HTTP, and compares what they answer."""
