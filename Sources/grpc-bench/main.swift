// A server whose one method does nothing, to measure what the wire costs, and a toy service to try
// clients on: grpc-bench PORT THREADS.
import GRPC
import Glibc
import NIOPosix

let arguments = CommandLine.arguments
guard arguments.count == 3, let port = Int(arguments[1]), let threads = Int(arguments[2]), threads > 0 else {
    print("usage: grpc-bench PORT THREADS")
    throw Status(.invalidArgument, "two numbers are needed")
}
let group = MultiThreadedEventLoopGroup(numberOfThreads: threads)
let reply: [UInt8] = Array(repeating: 0x0A, count: 10)
let doNothing: [String: Method] = ["/etcdserverpb.KV/Put": .unary { call, _ in call.respond(reply) }]
let methods = doNothing.merging(Toy.methods) { $1 }.merging(HealthService().methods) { $1 }
let server = Server(
    group: group, methods: methods,
    http: { call in
        call.respond(HTTPResponse(status: 200, text: "\(call.request.method) \(call.request.target)\n"))
    })
let address = try await server.bind(host: "127.0.0.1", port: port)
print("listening on \(address) with \(threads) event loops")
fflush(nil)
while true { try await Task.sleep(for: .seconds(3600)) }
