import EtcdAPI
import Foundation
import SwiftProtobuf
import Testing

@testable import JSONMapping

/// Messages and the JSON that etcd writes for them, both ways.
@Suite struct MappingTests {
    private func type(_ name: String) throws -> MessageMapping { try #require(Schema.etcd.type(name)) }

    private func json(_ message: some SwiftProtobuf.Message, _ name: String) throws -> String {
        String(decoding: try type(name).json(try [UInt8](message.serializedBytes() as [UInt8])), as: UTF8.self)
    }

    private func message(_ json: String, _ name: String) throws -> [UInt8] {
        try type(name).message(Array(json.utf8)[...])
    }

    @Test func rangeResponse() throws {
        var response = Etcdserverpb_RangeResponse()
        response.header.clusterID = 14_841_639_068_965_178_418
        response.header.memberID = 1
        response.header.revision = 3
        response.count = 1
        var pair = Mvccpb_KeyValue()
        pair.key = Data8("a")
        pair.value = Data8("<\u{ff}>")
        pair.createRevision = 2
        pair.modRevision = .max
        pair.lease = -1
        response.kvs = [pair, Mvccpb_KeyValue()]
        let text =
            #"{"header":{"cluster_id":"14841639068965178418","member_id":"1","revision":"3"},"#
            + #""kvs":[{"key":"YQ==","create_revision":"2","mod_revision":"9223372036854775807","#
            + #""value":"PMO/Pg==","lease":"-1"},{}],"count":"1"}"#
        #expect(try json(response, "etcdserverpb.RangeResponse") == text)
    }

    @Test func watchResponse() throws {
        var response = Etcdserverpb_WatchResponse()
        response.watchID = 5
        response.canceled = true
        response.compactRevision = 7
        response.cancelReason = "a<b"
        var event = Mvccpb_Event()
        event.type = .delete
        event.kv.key = Data8("a")
        response.events = [event, Mvccpb_Event()]
        let text =
            #"{"watch_id":"5","canceled":true,"compact_revision":"7","cancel_reason":"a\u003cb","#
            + #""events":[{"type":"DELETE","kv":{"key":"YQ=="}},{}]}"#
        #expect(try json(response, "etcdserverpb.WatchResponse") == text)
    }

    @Test func namesThatAreNotInSnakeCase() throws {
        var response = Etcdserverpb_StatusResponse()
        response.dbSize = 5
        response.raftAppliedIndex = 6
        response.errors = ["x"]
        response.isLearner = true
        #expect(
            try json(response, "etcdserverpb.StatusResponse")
                == #"{"dbSize":"5","raftAppliedIndex":"6","errors":["x"],"isLearner":true}"#)
        var list = Etcdserverpb_MemberListResponse()
        var member = Etcdserverpb_Member()
        member.id = 1
        member.peerUrls = ["http://a"]
        list.members = [member]
        #expect(
            try json(list, "etcdserverpb.MemberListResponse") == #"{"members":[{"ID":"1","peerURLs":["http://a"]}]}"#)
    }

    @Test func numbersThatAreNoNames() throws {
        var alarm = Etcdserverpb_AlarmMember()
        alarm.alarm = .UNRECOGNIZED(77)
        #expect(try json(alarm, "etcdserverpb.AlarmMember") == #"{"alarm":77}"#)
        var hash = Etcdserverpb_HashKVResponse()
        hash.hash = .max
        #expect(try json(hash, "etcdserverpb.HashKVResponse") == #"{"hash":4294967295}"#)
    }

    /// Fields out of order, unknown ones, and one that stands there twice, of which the last counts.
    @Test func fieldsInAnyOrder() throws {
        let bytes: [UInt8] = [0x18, 1, 0x08, 2, 0xF8, 0x7F, 9, 0x10, 3, 0x08, 4]
        let text = String(decoding: try type("etcdserverpb.ResponseHeader").json(bytes), as: UTF8.self)
        #expect(text == #"{"cluster_id":"4","member_id":"3","revision":"1"}"#)
    }

    @Test(arguments: [[0x08], [0x0A, 5, 1], [0x08, 0x80, 0x80], [0x07], [0x00]] as [[UInt8]])
    func bytesThatAreNoMessage(bytes: [UInt8]) throws {
        let header = try type("etcdserverpb.RangeResponse")
        #expect(throws: JSONMappingError.self) { try header.json(bytes) }
    }

    @Test func requestsInAllForms() throws {
        var request = Etcdserverpb_RangeRequest()
        request.key = Data8("foo")
        request.rangeEnd = Data8("z")
        request.limit = -5
        request.sortOrder = .descend
        request.serializable = true
        let bytes: [UInt8] = try request.serializedBytes()
        for json in [
            #"{"key":"Zm9v","range_end":"eg==","limit":"-5","sort_order":"DESCEND","serializable":true}"#,
            #" { "serializable" : true , "sortOrder" : 2 , "limit" : -5 , "rangeEnd" : "eg==" , "key" : "Zm9v" } "#,
            #"{"key":[102,111,111],"rangeEnd":"eg==","range_end":"AA==","limit":"-5","sort_order":2,"x":[{}],"#
                + #""serializable":true,"keys_only":null}"#,
        ] {
            #expect(try message(json, "etcdserverpb.RangeRequest") == bytes, "\(json)")
        }
    }

    @Test func transactions() throws {
        var request = Etcdserverpb_TxnRequest()
        var compare = Etcdserverpb_Compare()
        compare.target = .create
        compare.key = Data8("k")
        compare.createRevision = 0
        request.compare = [compare]
        var put = Etcdserverpb_RequestOp()
        put.requestPut.key = Data8("k")
        var nested = Etcdserverpb_RequestOp()
        nested.requestTxn.success = [put]
        request.success = [put, nested]
        let json =
            #"{"compare":[{"target":"CREATE","key":"aw==","create_revision":"0"}],"#
            + #""success":[{"request_put":{"key":"aw=="}},{"requestTxn":{"success":[{"requestPut":{"key":"aw=="}}]}}]}"#
        #expect(try message(json, "etcdserverpb.TxnRequest") == request.serializedBytes())
    }

    /// Two readers of the message must not see two different members of a group.
    @Test func onlyOneOfAGroup() throws {
        let json = #"{"request_put":{"key":"aw=="},"request_range":{"key":"aw=="},"request_delete_range":null}"#
        var put = Etcdserverpb_RequestOp()
        put.requestPut.key = Data8("k")
        #expect(try message(json, "etcdserverpb.RequestOp") == put.serializedBytes())
    }

    @Test func lists() throws {
        var watch = Etcdserverpb_WatchCreateRequest()
        watch.filters = [.nodelete, .noput]
        #expect(
            try message(#"{"filters":["NODELETE",0]}"#, "etcdserverpb.WatchCreateRequest") == watch.serializedBytes())
        #expect(try message(#"{"filters":[]}"#, "etcdserverpb.WatchCreateRequest") == [])
        var add = Etcdserverpb_MemberAddRequest()
        add.peerUrls = ["", "é"]
        #expect(try message(#"{"peerURLs":[null,"\u00e9"]}"#, "etcdserverpb.MemberAddRequest") == add.serializedBytes())
    }

    @Test(arguments: [
        (#"{"key":5}"#, "json: cannot unmarshal number into Go value of type []uint8"),
        (#"{"key":"!"}"#, "illegal base64 data at input byte 0"),
        (#"{"limit":"x"}"#, "invalid character 'x' looking for beginning of value"),
        (#"{"limit":1.5}"#, "json: cannot unmarshal number 1.5 into Go value of type int64"),
        (#"{"limit":[]}"#, "json: cannot unmarshal array into Go value of type int64"),
        (#"{"sort_order":"X"}"#, #"unknown value "X" for enum etcdserverpb.RangeRequest_SortOrder"#),
        (
            #"{"sort_order":1.5}"#,
            "json: cannot unmarshal number 1.5 into Go value of type etcdserverpb.RangeRequest_SortOrder"
        ),
        (#"{"keys_only":"true"}"#, "json: cannot unmarshal string into Go value of type bool"),
        ("[]", "json: cannot unmarshal array into Go value of type map[string]json.RawMessage"),
        // Of several mistakes the one in the field that is defined first is told.
        (#"{"limit":"x","key":5}"#, "json: cannot unmarshal number into Go value of type []uint8"),
        // The last of two values counts, for mistakes too.
        (#"{"limit":1,"limit":{}}"#, "json: cannot unmarshal object into Go value of type int64"),
    ])
    func refusals(json: String, text: String) {
        #expect(throws: JSONMappingError(description: text)) { try message(json, "etcdserverpb.RangeRequest") }
    }

    /// Transactions in transactions without end: refused, and no stack is used up.
    @Test func nesting() throws {
        func nested(_ depth: Int) -> String {
            String(repeating: #"{"success":[{"request_txn":"#, count: depth) + "{}"
                + String(repeating: "}]}", count: depth)
        }
        _ = try message(nested(20), "etcdserverpb.TxnRequest")
        #expect(throws: JSONMappingError(description: "json: message nested too deep")) {
            try message(nested(3000), "etcdserverpb.TxnRequest")
        }
    }

    @Test func everyMethodHasAPathAndTypes() {
        for method in EtcdMethod.allCases where method != .hash {
            #expect(Schema.etcd.method(method.path) != nil, "\(method)")
        }
    }
}

func Data8(_ text: String) -> Data { Data(text.utf8) }
