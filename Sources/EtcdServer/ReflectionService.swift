import GRPC
import Reflection

/// gRPC's server reflection, by which tools learn at run time which services there are and what their messages look like.
/// etcd has none; it costs nothing until somebody asks.
struct ReflectionService {
    /// The full names of the services that the server has.
    private let services: [String]
    private static let own = ["grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection"]

    /// Tells of the services of `methods`, given by path, and of itself.
    init(of methods: some Sequence<String>) {
        let named = methods.compactMap { path in path.split(separator: "/").first.map(String.init) }
        services = Array(Set(named + Self.own))
    }

    var methods: [String: Method] {
        let services = services
        return Dictionary(
            uniqueKeysWithValues: Self.own.map { name in
                ("/\(name)/ServerReflectionInfo", .stream { call in Handler(call: call, services: services) })
            })
    }

    /// One stream of questions. Used on its event loop alone.
    private final class Handler: StreamHandler {
        private let call: StreamCall
        private var stream: ReflectionStream
        private var isOver = false

        init(call: StreamCall, services: [String]) {
            self.call = call
            stream = ReflectionStream(index: .services, services: services)
        }

        func received(_ message: [UInt8]) {
            guard !isOver else { return }
            do throws(ReflectionStream.Failure) {
                call.send(try stream.answer(message))
                // Whoever asks must also read.
                if !call.isWritable { call.pauseReading() }
            } catch .undecodable {
                finish(Status(.internal, "grpc: failed to unmarshal the received message"))
            } catch {
                finish(Status(.invalidArgument, "invalid MessageRequest: <nil>"))
            }
        }

        func writable() { call.resumeReading() }

        func halfClosed() { finish(.ok) }

        func cancelled(_ reason: CancelReason) { isOver = true }

        private func finish(_ status: Status) {
            guard !isOver else { return }
            isOver = true
            call.finish(status)
        }
    }
}
