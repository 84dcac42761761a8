import GRPC
import Testing

@testable import JSONGateway

/// Both forms in which etcd's versions tell of errors.
@Suite struct ErrorShapeTests {
    private let error = Status(.failedPrecondition, "a<\"b\"")

    private func text(_ bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self) }

    @Test func first() {
        #expect(
            text(ErrorShape.first.body(error))
                == #"{"error":"a\u003c\"b\"","message":"a\u003c\"b\"","code":9}"#)
        #expect(
            text(ErrorShape.first.streamObject(error))
                == #"{"error":{"grpc_code":9,"http_code":412,"message":"a\u003c\"b\"","#
                + #""http_status":"Precondition Failed"}}"#)
    }

    @Test func second() {
        #expect(text(ErrorShape.second.body(error)) == #"{"code":9,"message":"a\u003c\"b\"","details":[]}"#)
        #expect(
            text(ErrorShape.second.streamObject(error))
                == #"{"error":{"code":9,"message":"a\u003c\"b\"","details":[]}}"#)
    }

    @Test func withoutText() {
        #expect(text(ErrorShape.first.body(Status(.unknown))) == #"{"code":2}"#)
        #expect(
            text(ErrorShape.first.streamObject(Status(.unknown)))
                == #"{"error":{"grpc_code":2,"http_code":500,"http_status":"Internal Server Error"}}"#)
    }

    @Test(arguments: [
        (Status.Code.ok, 200, 200), (.cancelled, 408, 499), (.unknown, 500, 500), (.invalidArgument, 400, 400),
        (.deadlineExceeded, 504, 504), (.notFound, 404, 404), (.alreadyExists, 409, 409), (.permissionDenied, 403, 403),
        (.resourceExhausted, 429, 429), (.failedPrecondition, 412, 400), (.aborted, 409, 409), (.outOfRange, 400, 400),
        (.unimplemented, 501, 501), (.internal, 500, 500), (.unavailable, 503, 503), (.dataLoss, 500, 500),
        (.unauthenticated, 401, 401),
    ])
    func statuses(code: Status.Code, first: Int, second: Int) {
        #expect(ErrorShape.first.httpStatus(code) == first)
        #expect(ErrorShape.second.httpStatus(code) == second)
    }
}
